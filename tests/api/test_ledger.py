"""What is written down of a call, whatever comes of it."""

from __future__ import annotations

import json
import logging
import socket
import sqlite3
from typing import Any

import pytest

from tests.api.books import CHAT, GOOD, Books, used
from tests.fakes.upstream import Script, Upstream, answers, completion, sending, sends

WHOLE = "cost_nano, usage_source, error_code"
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + EVENT


def samples(books: Books, name: str) -> list[str]:
    """The metrics' lines of one family."""
    return [line for line in books.client.get("/metrics").text.splitlines() if line.startswith(f"llm_gateway_{name}{{")]


def test_a_row_has_what_the_log_line_has(books: Books) -> None:
    headers = {**GOOD, "X-Request-ID": "r-1", "session-id": "s-1", "User-Agent": "tests"}
    books.client.post("/inference", json={"prompt": "Hi", "user_id": "ann", "max_tokens": 5}, headers=headers)
    columns = "attempt, request_id, method, path, status, tenant, user_id, names, model, provider, stream, cached"
    assert books.rows(columns) == [
        (1, "r-1", "POST", "/inference", 200, "default", "ann", "m", "gpt-4o-mini", "up", 0, 0)
    ]
    columns = "prompt_tokens, completion_tokens, cost_nano, usage_source, prices, finish_reason, session_id, client"
    prices = '{"input": "0.001", "output": "0.002"}'
    assert books.rows(columns) == [(8, 3, 14, "provider", prices, "stop", "s-1", "tests")]
    (times,) = books.rows("settled_ms - held_ms, duration_ms, overhead_ms")
    assert all(time >= 0 for time in times)


def test_two_calls_with_one_request_id_are_two_calls(books: Books) -> None:
    for _ in range(2):
        books.client.post("/v1/chat/completions", json=CHAT, headers={**GOOD, "X-Request-ID": "same"})
    assert books.rows("request_id") == [("same",), ("same",)]
    assert len({call for (call,) in books.rows("call_id")}) == 2


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("script", "row"),
    [
        pytest.param(answers({"error": {}}, 400), (0, "counted", "provider_refused"), id="refused"),
        pytest.param(answers({"error": {}}, 503), (0, "counted", "upstream_error"), id="failed"),
        pytest.param(answers({"error": {}}, 401), (0, "counted", "upstream_error"), id="credential refused"),
        pytest.param(sending([b""], pause=2, stay=False), ("bound", "bound", "upstream_timeout"), id="silent"),
        pytest.param(sends(b"", then_reset=True), ("bound", "bound", "upstream_error"), id="reset"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), ("bound", "bound", "upstream_error"),
                     id="cut"),
        pytest.param(answers({"choices": "?"}), ("bound", "bound", "upstream_error"), id="not understood"),
    ],
)  # fmt: skip
def test_a_call_without_an_answer_costs_nothing_or_its_bound(
    stream: bool, script: Script, row: tuple[Any, ...], books: Books
) -> None:
    books.limit("tenant:default", "usd/day", "1")
    books.upstream.script = script
    assert books.ask(stream=stream).status_code >= 400
    ((cost, *rest),) = books.rows(WHOLE)
    (bound,) = books.rows("prompt_tokens, completion_tokens")
    assert (cost if row[0] == 0 else "bound", *rest) == row
    assert cost == bound[0] + 2 * bound[1]
    assert row[0] == 0 or (bound[0] > 256 and bound[1] == 10)
    assert books.standing() == [(cost, 0)]


def test_a_stream_that_breaks_off_costs_what_was_delivered(books: Books) -> None:
    books.upstream.script = sends(STREAM)
    books.ask(stream=True)
    assert books.rows(f"completion_tokens, {WHOLE}") == [(1, 9, "counted", "upstream_error")]


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_a_client_that_leaves_before_anything_came_pays_the_bound_under_a_hard_limit_else_the_prompt(
    mode: str, books: Books
) -> None:
    books.limit("tenant:default", "usd/day", "1", mode)
    books.upstream.script = sending([b""], pause=2, stay=False)
    here, there = socket.socketpair()
    there.close()
    with here:
        overrides = {"gunicorn.socket": here}
        body = {**CHAT, "max_tokens": 10}
        books.client.post("/v1/chat/completions", json=body, headers=GOOD, environ_overrides=overrides)
    ((_, source, error),) = books.rows(WHOLE)
    assert (source, error) == ("bound" if mode == "hard" else "counted", "client_left")


@pytest.mark.parametrize("mode", ["hard", "firm"])
def test_what_a_client_gave_up_by_its_own_deadline_is_written_down_at_the_bound_under_a_hard_limit_only(
    mode: str, books: Books
) -> None:
    books.limit("tenant:default", "usd/day", "1", mode)
    books.upstream.script = sending([b""], pause=2, stay=False)
    body, impatient = {**CHAT, "max_tokens": 10_000}, {**GOOD, "x-gateway-timeout-ms": "100"}
    assert books.client.post("/v1/chat/completions", json=body, headers=impatient).status_code == 504
    ((cost, source, error),) = books.rows(WHOLE)
    assert (source, error) == ("bound" if mode == "hard" else "counted", "upstream_timeout")
    assert (cost > 20_000) is (mode == "hard"), "its cap is not for the client to be charged to others"


def test_a_report_of_more_than_was_allowed_is_capped_flagged_and_told(
    books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    books.limit("tenant:default", "usd/day", "1")
    lies = {"prompt_tokens": 10**6, "completion_tokens": 10**6, "prompt_tokens_details": {"cached_tokens": 10**6}}
    books.upstream.script = answers(completion("Hi", usage=lies))
    answer = books.ask()
    ((cost, prompt, written, cached, suspect),) = books.rows(
        "cost_nano, prompt_tokens, completion_tokens, cached_tokens, usage_suspect"
    )
    assert (written, suspect, cached) == (10, 1, prompt)
    assert prompt < 1000
    assert cost == prompt + 20
    assert answer.headers["x-gateway-cost-usd"] == f"0.000000{cost:03d}"
    assert samples(books, "usage_suspect_total") == [
        'llm_gateway_usage_suspect_total{model="gpt-4o-mini",provider="up"} 1.0'
    ]
    (warned,) = [record for record in caplog.records if record.name == "gateway.ledger"]
    assert vars(warned)["reported_completion_tokens"] == 10**6


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 10**18, "completion_tokens": 3},
        {"prompt_tokens": 8, "completion_tokens": 0},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_report_that_cannot_be_is_replaced_by_a_count_and_flagged(
    usage: dict[str, int], stream: bool, books: Books
) -> None:
    chunk = EVENT.replace(b"}]}", b'}], "usage": ' + json.dumps(usage).encode() + b"}")
    streamed = STREAM.replace(EVENT, chunk) + b"data: [DONE]\n\n"
    books.upstream.script = sends(streamed) if stream else answers(completion("Hi", usage=usage))
    assert books.ask(stream=stream).status_code == 200
    assert books.rows("usage_source, usage_suspect, completion_tokens") == [("counted", 1, 1)]


@pytest.mark.parametrize(("mode", "row"), [("soft", ("counted", False)), ("hard", ("bound", True))])
def test_under_a_hard_limit_what_cannot_be_counted_counts_at_its_bound(
    mode: str, row: tuple[str, bool], books: Books
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    books.limit("tenant:default", "usd/day", "1", mode)
    books.upstream.script = answers(completion("Hi", usage=None))
    books.ask(messages=[{"role": "user", "content": [image]}])
    assert books.rows("usage_source, prompt_tokens > 50000") == [row]


def test_thoughts_that_nobody_saw_count_under_a_hard_limit(books: Books) -> None:
    books.limit("tenant:default", "tokens/day", "1000000")
    books.upstream.script = sends(STREAM)
    books.ask(model="up/o3", stream=True, max_tokens=None, max_completion_tokens=100)
    assert books.rows("usage_source, completion_tokens") == [("bound", 100)]


def test_what_was_asked_without_a_cap_is_charged_as_reported_where_no_hard_limit_bears(books: Books) -> None:
    books.limit("tenant:default", "usd/day", "1", "firm")
    books.upstream.script = answers(used(8, 500_000))
    books.ask(max_tokens=None)
    assert books.rows("completion_tokens, usage_suspect") == [(500_000, 0)]


def test_a_limit_that_is_passed_is_told(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    books.limit("tenant:default", "usd/day", "0.00000002", "soft")
    for _ in range(3):
        assert books.ask().status_code == 200
    told = [record.getMessage() for record in caplog.records if record.name == "gateway.ledger"]
    assert told == ["tenant:default has passed its limit of 0.00000002 usd/day: 0.000000028 spent"]


@pytest.mark.parametrize("place", ["gateway.providers.openai.openai.read_whole", "gateway.services.books.Books._usage"])
def test_a_crash_of_the_gateway_itself_leaves_nothing_held(
    place: str, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(place, crash)
    books.limit("tenant:default", "usd/day", "1")
    assert books.ask().status_code == 500
    ((cost, source, error),) = books.rows(WHOLE)
    assert (source, error, books.standing()) == ("bound", "internal_error", [(cost, 0)])


@pytest.mark.parametrize("stream", [True, False])
def test_without_the_ledger_nothing_is_sent(stream: bool, books: Books) -> None:
    with sqlite3.connect(books.file) as connection:
        connection.execute("DROP TABLE holds")
    refused = books.ask(stream=stream)
    assert refused.json
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "ledger_unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert books.sent == []
    ready = books.client.get("/health/ready")
    assert ready.json
    assert (ready.status_code, ready.json["status"]) == (503, "unavailable")
    assert ready.json["checks"]["ledger"] == {"state": "down"}


def test_an_answer_is_given_though_it_cannot_be_written_down_and_then_is(books: Books, upstream: Upstream) -> None:
    usual = answers(used(8, 3))

    def then_break(connection: socket.socket, request: Any) -> bool:
        with sqlite3.connect(books.file) as ledger:
            ledger.execute("ALTER TABLE usage RENAME TO elsewhere")
        return usual(connection, request)

    upstream.script = then_break
    assert books.ask().status_code == 200
    with sqlite3.connect(books.file) as ledger:
        assert ledger.execute("SELECT count(*) FROM holds").fetchone() == (1,)
        ledger.execute("ALTER TABLE elsewhere RENAME TO usage")
    upstream.script = usual
    assert books.ask().status_code == 200
    assert books.rows(WHOLE) == [(14, "provider", None)] * 2


def test_the_metrics_are_the_ledgers_sums(books: Books) -> None:
    books.limit("tenant:default", "usd/month", "1")
    books.limit("tenant:default", "requests/week", "2")
    books.ask()
    books.ask()
    assert books.ask().status_code == 429
    labels = 'model="gpt-4o-mini",provider="up",tenant="default"'
    assert samples(books, "tokens_total") == [
        f'llm_gateway_tokens_total{{kind="prompt",{labels}}} 16.0',
        f'llm_gateway_tokens_total{{kind="completion",{labels}}} 6.0',
    ]
    assert samples(books, "cost_usd_total") == [f"llm_gateway_cost_usd_total{{{labels}}} 2.8e-08"]
    assert samples(books, "budget_usd") == [
        f'llm_gateway_budget_usd{{period="month",state="{state}",tenant="default"}} {value}'
        for state, value in (("limit", "1.0"), ("spent", "2.8e-08"), ("held", "0.0"))
    ]
    assert samples(books, "limit_rejections_total") == [
        'llm_gateway_limit_rejections_total{period="week",tenant="default",unit="requests"} 1.0'
    ]
