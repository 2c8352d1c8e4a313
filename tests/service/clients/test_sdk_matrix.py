"""Every client with every vendor: what is asked arrives, what is answered is seen, and every token of it is paid for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.conftest import KEY
from tests.service.clients import matrix_vendors
from tests.service.clients.matrix_clients import CLIENTS, Client, Seen, Town
from tests.service.clients.matrix_vendors import MAKERS, Told, configuration, cost, told
from tests.service.conftest import Service

HELLO = "Hello, Wörld 🙂, what is new?"
STOPS = {  # client -> why it says that an answer ends
    "chat": {"end": "stop", "tools": "tool_calls", "cut": "length", "refused": "content_filter"},
    "responses": {"end": "completed", "tools": "completed", "cut": "max_output_tokens", "refused": "content_filter"},
    "messages": {"end": "end_turn", "tools": "tool_use", "cut": "max_tokens", "refused": "refusal"},
}
THINK: dict[str, dict[str, Any]] = {
    "chat": {"reasoning_effort": "low"},
    "responses": {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
    "messages": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
}
SHOWN = {"openai": "with 1 images", "anthropic": "with image/png of 70 bytes", "gemini": "with 1 files"}


@dataclass
class Cell:
    """A client and a vendor, with the gateway between them.

    Attributes:
        stream: answers come in events.
        user: for whom it all is: nobody else is.
        spent: what the vendor answered so far.
        known: what the vendor's prompt cache holds.
    """

    name: str
    client: Client
    vendor: str
    fake: Any
    service: Service
    stream: bool
    user: str
    spent: list[Told] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def ask(self, turns: list[Any], **more: Any) -> Seen:
        """Ask, and compare what the client sees, and what it costs, with what the vendor told."""
        seen = self.client.ask(self.vendor, turns, self.user, self.stream, **more)
        assert self.fake.complaints == []
        number = len(self.fake.received)
        vendors = told(self.vendor, self.fake.received[-1], number, self.known)
        self.spent.append(vendors)
        assert len(self.spent) == number
        assert_the_same(seen, vendors)
        if not self.stream:
            assert Decimal(self.client.headers[-1]["x-gateway-cost-usd"]) == cost(self.vendor, vendors)
        return seen

    def stops(self, why: str) -> str:
        """The client's word for it."""
        return STOPS[self.name][why]

    def assert_paid(self) -> None:
        """The ledger has every token, and what all of them cost."""
        row = self.service.wait_for(lambda: booked(self.service, self.user, len(self.spent)))
        assert (row["errors"], row["held_usd"]) == (0, "0")
        names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
        sums = [sum(counts) for counts in zip(*(answer.tokens for answer in self.spent), strict=True)]
        assert [row[name] for name in names] == sums[:4]
        assert Decimal(row["cost_usd"]) == sum(cost(self.vendor, answer) for answer in self.spent)


def assert_the_same(seen: Seen, vendors: Told) -> None:
    """The client sees what the vendor told; a client that knows no refusals reads them as text."""
    assert seen.text + (seen.refusal if vendors.refusal else "") == vendors.text + vendors.refusal
    assert [(call.name, call.arguments) for call in seen.calls] == vendors.calls
    assert seen.tokens == vendors.tokens


def booked(service: Service, user: str, requests: int) -> Any:
    """The user's row of the ledger, once it has so many requests."""
    with contextlib.chdir(service.directory):
        printed = CliRunner().invoke(main, ["usage", "--by", "user", "--format", "json"], catch_exceptions=False).output
    rows = [row for row in json.loads(printed) if row["user"] == user]
    return rows[0] if rows and rows[0]["requests"] == requests else None


@pytest.fixture(scope="module")
def fakes() -> Iterator[dict[str, Any]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(make(secret=KEY)) for name, make in MAKERS.items()}


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def service(
    request: pytest.FixtureRequest, fakes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One gateway of two workers for all of the matrix."""
    directory = tmp_path_factory.mktemp("matrix")
    yaml = configuration({name: fake.base_url for name, fake in fakes.items()})
    (directory / "gateway.yaml").write_text(yaml)
    service = Service(directory, request.param, {"MODEL_NAME": "openai"})
    try:
        yield service.wait_until_ready()
    finally:
        service.stop()


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=MAKERS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=CLIENTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cell(
    request: pytest.FixtureRequest, name: str, vendor: str, stream: bool, service: Service, fakes: dict[str, Any]
) -> Iterator[Cell]:
    fakes[vendor].reset()
    client = CLIENTS[name](service.url, KEY)
    yield Cell(name, client, vendor, fakes[vendor], service, stream, request.node.name)
    client.close()


def test_a_text_is_answered(cell: Cell) -> None:
    seen = cell.ask(cell.client.said(HELLO))
    assert f"“{HELLO}”" in seen.text
    assert (seen.reason, seen.calls) == (cell.stops("end"), [])
    cell.assert_paid()


def test_tools_work_all_the_way_round(cell: Cell) -> None:
    asked = cell.client.said(HELLO)
    first = cell.ask(asked, tools=True)
    assert [call.name for call in first.calls] == ["weather", "clock"]
    assert [call.arguments for call in first.calls] == [{"town": "München ☕", "days": 42}, {}]
    assert first.reason == cell.stops("tools")
    results = cell.client.results({call.id: f"{call.name}: ☀️ 21 °C" for call in first.calls})
    second = cell.ask([*asked, *first.turn, *results], tools=True)
    assert second.text.startswith("The tools said [")
    assert "weather: ☀️ 21 °C" in second.text
    assert second.text.index("weather: ") < second.text.index("clock: ☀️ 21 °C")
    assert (second.reason, second.calls) == (cell.stops("end"), [])
    cell.assert_paid()


def test_a_picture_is_seen(cell: Cell) -> None:
    seen = cell.ask(cell.client.said(HELLO, picture=True))
    assert SHOWN[cell.vendor] in seen.text
    assert seen.reason == cell.stops("end")
    cell.assert_paid()


def test_an_answer_is_parsed(cell: Cell) -> None:
    seen = cell.ask(cell.client.said(HELLO), parse=True)
    assert seen.parsed == Town(name="München ☕", people=42)
    assert seen.reason == cell.stops("end")
    cell.assert_paid()


def test_a_refusal_is_told_as_the_client_knows_it(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix_vendors.let_chats_refuse(monkeypatch)
    seen = cell.ask(cell.client.said("REFUSE this, HOLD BACK that"))
    says_so_itself = cell.vendor == "openai"  # in words of its own, with which the answer ends as any other
    assert seen.reason == cell.stops("end" if says_so_itself and cell.name != "messages" else "refused")
    assert bool(seen.refusal) is (says_so_itself and cell.name != "messages")
    cell.assert_paid()


def test_an_answer_is_cut_where_the_client_wants_it(cell: Cell) -> None:
    seen = cell.ask(cell.client.said(HELLO), cap=cell.client.smallest)
    assert (seen.reason, len(seen.text)) == (cell.stops("cut"), 5 * cell.client.smallest)
    cell.assert_paid()


def test_thoughts_are_billed_and_go_back_to_the_vendor_with_the_results_of_tools(cell: Cell) -> None:
    asked = cell.client.said(HELLO)
    first = cell.ask(asked, tools=True, **THINK[cell.name])
    assert first.tokens.thought > 0
    results = cell.client.results({call.id: "☀️" for call in first.calls})
    assert cell.ask([*asked, *first.turn, *results], tools=True, **THINK[cell.name]).text.startswith("The tools said")
    cell.assert_paid()


@pytest.mark.parametrize("life", ["5m", "1h"])
@pytest.mark.parametrize("vendor", ["anthropic"])
@pytest.mark.parametrize("name", ["chat", "messages"])
def test_a_prompt_is_written_to_the_cache_and_read_again_each_at_its_price(cell: Cell, life: str) -> None:
    marked = {"type": "text", "text": HELLO * 50, "cache_control": {"type": "ephemeral", "ttl": life}}
    first, second = (cell.ask([{"role": "user", "content": [marked]}]).tokens for _ in range(2))
    assert first.written == second.cached > 100
    assert (first.cached, second.written) == (0, 0)
    assert cell.spent[0].lasting == (first.written if life == "1h" else 0)
    cell.assert_paid()
