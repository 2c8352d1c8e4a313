"""The ledger's file: one writer at a time, whole after any kill, and a StoreError where it cannot be used."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting import entries
from gateway.model import Usage
from gateway.stores import StoreError
from gateway.stores.ledger import Operation, Refusal, Transaction
from gateway.stores.ledger import sqlite as module
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.ledgers import FILE, SECOND, claim, done, ledger_in, limit, processes, rows, spend

NOW = 1_795_435_200 * SECOND


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    found = ledger_in(tmp_path)
    yield found
    found.close()


def count(tx: Transaction) -> str:
    tx.run("changed")
    return "counted"


def counted(directory: Path) -> int:
    found: int = sum(row[0] for row in rows(directory, "SELECT version FROM versions"))
    return found


def failing(error: Exception) -> Operation:
    def fail(tx: Transaction) -> None:
        count(tx)
        raise error

    return fail


def test_an_operation_that_fails_fails_alone_and_leaves_nothing(database: SqliteDatabase, tmp_path: Path) -> None:
    outcomes = database.transact([count, failing(ValueError("wrong")), count, lambda tx: tx.run("no such statement")])
    assert [outcome.result for outcome in outcomes] == ["counted", None, "counted", None]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ValueError, type(None), KeyError]
    assert counted(tmp_path) == 2


def test_a_refusal_undoes_no_other_and_does_none_again(database: SqliteDatabase, tmp_path: Path) -> None:
    calls = []
    outcomes = database.transact([lambda tx: calls.append(count(tx)), failing(Refusal("no")), count])
    assert [type(outcome.error) for outcome in outcomes] == [type(None), Refusal, type(None)]
    assert calls == ["counted"]
    assert counted(tmp_path) == 3, "what a refusal had written stands"


def test_what_one_transaction_remembers_of_the_limits_is_forgotten_with_it(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    def set_and_fail(tx: Transaction) -> None:
        entries.limits(tx)
        tx.run("put_limit", subject="tenant:t", unit="usd", period="total", mode="hard", value=0)
        tx.run("changed")
        tx.notes.clear()
        assert len(entries.limits(tx)) == 1
        raise ValueError

    database.transact([set_and_fail])
    limit(SqliteDatabase(tmp_path), "key:other", "usd/total", "0")  # by another process, under the same version
    done(database, lambda tx: entries.hold(tx, claim(), NOW))


def locked(directory: Path) -> Callable[[], None]:
    connection = sqlite3.connect(directory / FILE, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection.close


def pragma(text: str) -> Callable[[Path, pytest.MonkeyPatch], Callable[[], None]]:
    """Connections that behave as the disk would make them."""

    def apply(directory: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
        original = SqliteDatabase._connect

        def connect(self: SqliteDatabase, mode: str = "rw") -> sqlite3.Connection:
            connection = original(self, mode)
            connection.execute(text)
            return connection

        patch.setattr(SqliteDatabase, "_connect", connect)
        return patch.undo

    return apply


def away(directory: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    (directory / FILE).rename(directory / "elsewhere")

    def back() -> None:
        (directory / "elsewhere").replace(directory / FILE)

    return back


def broken(directory: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    whole = (directory / FILE).read_bytes()
    (directory / FILE).write_bytes(b"no database" * 1000)
    return lambda: (directory / FILE).write_bytes(whole) and None


def torn(directory: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    whole = (directory / FILE).read_bytes()
    (directory / FILE).write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    return lambda: (directory / FILE).write_bytes(whole) and None


def unlockable(directory: Path, patch: pytest.MonkeyPatch) -> Callable[[], None]:
    lock = directory / f"{FILE}.lock"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    return lock.rmdir


TROUBLES: dict[str, Any] = {
    "locked by a shell": lambda directory, patch: locked(directory),
    "full": pragma("PRAGMA max_page_count = 1"),
    "read-only": pragma("PRAGMA query_only = 1"),
    "away": away,
    "no database": broken,
    "torn": torn,
    "without a lock file": unlockable,
}


@pytest.mark.parametrize("already_open", [False, True])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_ledger_that_cannot_be_used_fails_closed_and_heals_by_itself(
    trouble: str, already_open: bool, database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 30)
    if already_open and trouble in ("locked by a shell", "away", "without a lock file"):
        done(database, count)
    before = 1 if database._connection else 0
    heal = TROUBLES[trouble](tmp_path, monkeypatch)
    for outcome in database.transact([count, hold_much]):
        assert isinstance(outcome.error, StoreError), outcome
        assert FILE in str(outcome.error)
    heal()
    assert counted(tmp_path) == before
    assert done(database, count) == "counted"
    assert counted(tmp_path) == before + 1


def hold_much(tx: Transaction) -> None:
    for number in range(3):
        entries.hold(tx, claim(f"call{number}", session_id="x" * 5000), NOW)


def test_a_ledger_that_was_put_in_the_place_of_another_is_the_one_from_then_on(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    done(database, count)
    backup = tmp_path / "backup"
    backup.mkdir()
    ledger_in(backup)
    for rest in ("-wal", "-shm"):  # SQLite would take the log for the new one's
        (tmp_path / f"{FILE}{rest}").unlink()
    (backup / FILE).replace(tmp_path / FILE)
    done(database, count)
    assert counted(tmp_path) == 1


def test_a_ledger_that_cannot_be_read_says_so(database: SqliteDatabase, tmp_path: Path) -> None:
    (tmp_path / FILE).unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        database.read(lambda tx: tx.run("limits"))
    assert not (tmp_path / FILE).exists(), "and none is made by that"


def test_a_reader_cannot_write(database: SqliteDatabase) -> None:
    with pytest.raises(StoreError, match="readonly"):
        database.read(count)


def test_a_reader_sees_one_moment(database: SqliteDatabase, tmp_path: Path) -> None:
    def look(tx: Transaction) -> None:
        before = tx.run("version")
        done(database, count)
        assert tx.run("version") == before

    done(database, count)
    database.read(look)
    assert counted(tmp_path) == 2


def test_the_log_is_moved_into_the_file_and_does_not_grow(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_LOG", 4096)
    for number in range(20):
        spend(database, f"call{number}", NOW)
    log = tmp_path / f"{FILE}-wal"
    assert log.stat().st_size > 4096
    database.maintain()
    assert log.stat().st_size == 0
    assert rows(tmp_path, "SELECT count(*) FROM usage") == [(20,)]


def _spend(directory: Path, name: str, told: Any = None) -> None:
    database = SqliteDatabase(directory)
    for number in range(25 if told is None else 10**6):
        call = f"{name}-{number}"
        both = [
            lambda tx, call=call: entries.hold(tx, claim(call, owner=name), NOW),
            lambda tx, call=call: entries.settle(tx, call, 1, NOW, Usage(10, 10), 50, {"status": 200}),
        ]
        assert not [outcome.error for outcome in database.transact(both) if outcome.error]
        if told is not None:
            told.send_bytes(b"committed")


def test_four_processes_that_write_at_once_lose_nothing(database: SqliteDatabase, tmp_path: Path) -> None:
    limit(database, "tenant:t", "usd/total", "1")
    context = processes()
    writers = [context.Process(target=_spend, args=(tmp_path, f"writer{number}")) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert rows(tmp_path, "SELECT count(DISTINCT call_id), sum(cost_nano) FROM usage") == [(100, 5000)]
    assert rows(tmp_path, "SELECT spent, held FROM balances") == [(5000, 0)]
    assert rows(tmp_path, "SELECT requests, cost_nano FROM days") == [(100, 5000)]


def test_a_kill_in_the_midst_leaves_a_whole_file_with_all_that_was_promised(
    database: SqliteDatabase, tmp_path: Path
) -> None:
    limit(database, "tenant:t", "usd/total", "1")
    context = processes()
    promised = 0
    for number in range(6):
        told, tell = context.Pipe(duplex=False)
        writer = context.Process(target=_spend, args=(tmp_path, f"writer{number}", tell))
        writer.start()
        tell.close()
        told.recv_bytes()
        promised += 1
        time.sleep(0.011 * number)
        writer.kill()
        with suppress(EOFError):
            while told.recv_bytes():
                promised += 1
        writer.join()
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    ((bought,),) = rows(tmp_path, "SELECT count(*) FROM usage")
    assert promised <= bought <= promised + 6
    assert rows(tmp_path, "SELECT spent, held FROM balances") == [(50 * bought, 0)]
    assert rows(tmp_path, "SELECT requests FROM totals") == [(bought,)]
    assert done(database, count) == "counted", "and nobody keeps the lock"
