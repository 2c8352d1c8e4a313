"""The ledger's file: one writer at a time, whole after any kill, and a StoreError where it cannot be used."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting import entries
from gateway.stores import StoreError
from gateway.stores.ledger import Transaction
from gateway.stores.ledger import sqlite as module
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.ledgers import FILE, SECOND, claim, done, ledger_in, rows, spend
from tests.unit.stores.test_ledger_contract import count, counted

NOW = 1_795_435_200 * SECOND


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    found = ledger_in(tmp_path)
    yield found
    found.close()


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


def test_the_log_is_moved_into_the_file_and_begins_anew_where_it_is_long(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_LOG", 1)
    log, sizes = tmp_path / f"{FILE}-wal", list[int]()
    for turn in range(5):
        for number in range(20):
            spend(database, f"call{turn}-{number}", NOW)
        database.maintain()
        sizes.append(log.stat().st_size)
    assert sizes[0] <= min(sizes) and max(sizes) < 1.2 * sizes[0], "it is written over"
    for rest in ("-wal", "-shm"):
        (tmp_path / f"{FILE}{rest}").unlink()
    assert rows(tmp_path, "SELECT count(*) FROM usage") == [(100,)], "all of it is in the file"


def test_a_log_that_a_reader_made_grow_is_given_back(
    database: SqliteDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LONGEST_LOG", 1)
    monkeypatch.setattr(module, "_LARGEST_FILE", 200_000)
    log = tmp_path / f"{FILE}-wal"
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM usage").fetchall()
        for number in range(50):
            spend(database, f"call{number}", NOW)
            database.maintain()
        assert log.stat().st_size > 400_000
    database.maintain()
    spend(database, "one more", NOW)
    assert log.stat().st_size <= 200_000
