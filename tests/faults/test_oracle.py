"""The oracle itself: it says that right books are right, and it sees every way of being wrong."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.app import create_app
from gateway.config import load
from tests.api.books import wait_until_settled
from tests.conftest import KEY, put_ledger
from tests.faults.load import Call
from tests.faults.oracle import Oracle
from tests.faults.rig import CONFIG, Provider
from tests.service.conftest import ASK, GOOD

CALLS = 4
LIMIT = "INSERT INTO limits (subject, unit, period, mode, value) VALUES ('global', 'usd', 'day', 'hard', 1000000000)"
BOUND = "usage_source = 'bound', error_code = 'cut_off'"  # as the calls of a dead worker are settled
Books = tuple[Path, Path, str, list[Call]]


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """Of some calls: the ledger's directory, the provider's record, the text of /metrics, what clients were told."""
    directory = tmp_path_factory.mktemp("books")
    with contextlib.ExitStack() as stack:
        provider, calls = Provider(directory / "record"), []
        stack.callback(provider.stop)
        (directory / "gateway.yaml").write_text(CONFIG.format(url=provider.url))
        put_ledger(directory / "data")
        app = create_app(load({"API_KEY": KEY, "DATA_DIR": str(directory / "data")}, directory))
        stack.callback(app.extensions["ledger"].close)
        tamper(directory / "data", LIMIT)
        client, ask = app.test_client(), {**ASK, "max_tokens": 100}
        for number in range(CALLS):
            told = client.post("/inference", json=ask, headers={**GOOD, "x-request-id": f"call-{number}"}).json
            calls.append(Call(f"call-{number}", "ok", 200, (told["prompt_tokens"], told["completion_tokens"])))
        wait_until_settled(app)
        yield directory / "data", directory / "record", client.get("/metrics").text, calls


def tamper(data_dir: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(data_dir / "ledger.sqlite")) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def test_right_books_are_found_right(books: Books) -> None:
    assert Oracle(*books).check().startswith(f"{CALLS} calls at the provider, {CALLS} rows, 0 of them bound")


@pytest.mark.parametrize(
    ("check", "statement"),
    [
        ("once", "DELETE FROM usage WHERE id = 1"),
        ("rows", "UPDATE usage SET completion_tokens = completion_tokens + 1 WHERE id = 1"),
        ("rows", "UPDATE usage SET cost_nano = cost_nano - 1 WHERE id = 1"),
        ("rows", "UPDATE usage SET usage_source = 'bound', completion_tokens = completion_tokens - 1 WHERE id = 1"),
        ("rows", "UPDATE usage SET usage_source = 'counted' WHERE id = 1"),
        ("rows", "UPDATE usage SET call_id = 'of nobody' WHERE id = 1"),
        ("excess", "UPDATE usage SET cost_nano = cost_nano + 1 WHERE id = 1"),
        ("sums", "UPDATE days SET cost_nano = cost_nano + 1"),
        ("sums", "UPDATE days SET day = '2001-01-01'"),
        ("sums", "UPDATE totals SET attempts = attempts - 1"),
        ("balances", "UPDATE balances SET spent = spent - 1"),
        ("balances", "UPDATE limits SET value = 1"),
        ("balances", "DELETE FROM balances"),
        ("quiet", "UPDATE balances SET held = 1"),
        ("quiet", "INSERT INTO holds VALUES ('left', 1, '', 0, 0, 0, 0, 0, '', '', '', '')"),
        ("whole", "UPDATE totals SET cost_nano = cost_nano + 0.5"),
        ("told", "UPDATE usage SET request_id = 'of nobody' WHERE id = 1"),
        ("told", f"UPDATE usage SET {BOUND}, prompt_tokens = prompt_tokens - 1 WHERE id = 1"),
        ("told", f"UPDATE usage SET {BOUND}, completion_tokens = completion_tokens - 1 WHERE id = 1"),
        ("told", "UPDATE usage SET usage_source = 'bound' WHERE id = 1"),
        ("told", "UPDATE usage SET error_code = 'cut_off' WHERE id = 1"),
    ],
)  # fmt: skip
def test_a_ledger_that_is_wrong_in_any_place_is_found_out(
    check: str, statement: str, books: Books, tmp_path: Path
) -> None:
    data_dir, *others = books
    shutil.copytree(data_dir, tmp_path / "data")
    tamper(tmp_path / "data", statement)
    with pytest.raises(AssertionError, match=rf"(?m)^{check}: "):
        Oracle(tmp_path / "data", *others).check()


@pytest.mark.parametrize("more", [0, 1])
def test_a_bound_of_no_less_than_a_client_was_told_is_what_a_dead_worker_may_leave(
    more: int, books: Books, tmp_path: Path
) -> None:
    data_dir, *others = books
    shutil.copytree(data_dir, tmp_path / "data")
    tamper(tmp_path / "data", f"UPDATE usage SET {BOUND}, completion_tokens = completion_tokens + {more} WHERE id = 1")
    with pytest.raises(AssertionError, match=r"(?m)^sums: ") as raised:
        Oracle(tmp_path / "data", *others).check()
    assert "\ntold: " not in str(raised.value)


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("once", lambda data, record, shown, calls: (data, more(record), shown, calls)),
        ("shown", lambda data, record, shown, calls: (data, record, shown.replace("_usd_total{", "_eur_total{"), calls)),
        ("told", lambda data, record, shown, calls: (data, record, shown, [replace(calls[0], told=(1, 0))])),
        ("told", lambda data, record, shown, calls: (data, record, shown, [replace(calls[0], cached=True)])),
        ("told", lambda data, record, shown, calls: (data, record, shown, [replace(calls[0], told=None)])),
        ("told", lambda data, record, shown, calls: (data, record, shown, [Call("call-0", "fail", 429)])),
    ],
)  # fmt: skip
def test_books_that_others_do_not_agree_with_are_found_out(
    check: str, change: Callable[..., Books], books: Books
) -> None:
    with pytest.raises(AssertionError, match=rf"(?m)^{check}: "):
        Oracle(*change(*books)).check()


def more(record: Path) -> Path:
    """A record with another call, and one call twice."""
    longer = record.with_name("longer")
    first = record.read_text().splitlines()[0]
    longer.write_text(record.read_text() + first + "\n" + first.replace('"call_id": "', '"call_id": "not '))
    return longer
