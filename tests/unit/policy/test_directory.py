"""Every process learns within a second of what operators change, and reads no more than that."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.accounting import reports
from gateway.errors import LedgerUnavailable
from gateway.policy import book, directory, keys
from gateway.policy.directory import Directory
from gateway.policy.subjects import Payer
from gateway.stores import StoreError
from gateway.stores.ledger import Transaction
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.ledgers import done, ledger_in, limit

PAYER = Payer("default", "k", "ann", ("m",))


class Known:
    """A directory of a database that can go away, and that counts what is read of it."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.database, self.away, self.statements = database, False, 0
        self.directory = Directory(self.read)

    def read(self, work: Callable[[Transaction], Any]) -> Any:
        if self.away:
            raise StoreError("it is away")

        def counted(tx: Transaction) -> Any:
            run = tx.run

            def counting(name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
                self.statements += 1
                return run(name, **parameters)

            tx.run = counting  # type: ignore[method-assign]
            return work(tx)

        return self.database.read(counted)

    def key(self) -> str:
        credential = done(self.database, lambda tx: keys.create_key(tx, "default", 1))
        return str(credential.split("_")[1])

    def bearing(self) -> list[str]:
        return sorted(f"{limit.rate} {limit.value}" for limit, _ in self.directory.limits().bearing(PAYER))


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Known]:
    known = Known(ledger_in(tmp_path))
    yield known
    known.directory.close()


def within_a_second(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_new_a_revoked_and_a_rotated_key_are_known_within_a_second(known: Known) -> None:
    first = known.key()
    assert known.directory.key(first) is not None
    second = known.key()
    assert within_a_second(lambda: known.directory.key(second) is not None)
    done(known.database, lambda tx: keys.revoke_key(tx, first, 2))
    assert within_a_second(lambda: known.directory.key(first) is None)
    assert known.directory.key(second) is not None
    done(known.database, lambda tx: keys.rotate_key(tx, second, 9, 2))
    assert within_a_second(lambda: getattr(known.directory.key(second), "old_until_ms", 0) == 9)


def test_a_limit_that_is_set_changed_or_removed_is_known_within_a_second(known: Known) -> None:
    assert known.bearing() == []
    limit(known.database, "tenant:default", "requests/minute", "5")
    limit(known.database, "tenant:default", "usd/day", "5")
    assert within_a_second(lambda: known.bearing() == ["requests/minute 5"]), "money counts in the ledger"
    limit(known.database, "tenant:default", "requests/minute", "7")
    assert within_a_second(lambda: known.bearing() == ["requests/minute 7"])
    done(known.database, lambda tx: reports.remove_limit(tx, "tenant:default", "requests/minute"))
    assert within_a_second(lambda: known.bearing() == [])


def test_limits_are_kept_by_payer_for_so_many_of_them(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "_KEPT_PAYERS", 3)
    limit(known.database, "user:*@default", "requests/minute", "5")
    limits = known.directory.limits()
    assert within_a_second(lambda: list(known.directory.limits()))
    for number in [*range(8), *range(8)]:
        ((_, instance),) = limits.bearing(Payer("default", "k", f"u{number}", ("m",)))
        assert instance == f"u{number}"
        assert len(limits._bearing) <= 3


def test_tenants_are_known_in_the_order_in_which_they_were_made(known: Known) -> None:
    for moment, name in enumerate(("zoo", "ant")):
        done(known.database, lambda tx, name=name, moment=moment: keys.create_tenant(tx, name, moment))
    known.directory.refresh()
    assert known.directory.tenants() == ("default", "zoo", "ant")
    done(known.database, lambda tx: keys.delete_tenant(tx, "zoo", 1))
    known.directory.refresh()
    assert known.directory.tenants() == ("default", "ant")


def test_a_change_costs_the_reading_of_what_changed_and_nothing_costs_almost_nothing(known: Known) -> None:
    for _ in range(20):
        key_id = known.key()
    known.directory.refresh()
    known.statements = 0
    known.directory.refresh()
    assert known.statements == 1, "is there anything?"
    done(known.database, lambda tx: keys.revoke_key(tx, key_id, 2))
    known.statements = 0
    known.directory.refresh()
    assert known.statements == 3, "how many changes, which, and the key"


def test_who_has_missed_more_changes_than_are_kept_reads_everything(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "_KEPT_CHANGES", 2)
    first = known.key()
    known.directory.refresh()
    done(known.database, lambda tx: keys.revoke_key(tx, first, 2))
    last = [known.key() for _ in range(5)][-1]
    done(known.database, book.prune_changes)
    known.directory.refresh()
    assert known.directory.key(first) is None
    assert known.directory.key(last) is not None


def test_after_an_earlier_ledger_was_restored_everything_is_read_again(known: Known, tmp_path: Path) -> None:
    first = known.key()
    done(known.database, lambda tx: keys.revoke_key(tx, first, 2))
    known.directory.refresh()
    _restored(tmp_path, first)
    known.directory.refresh()
    assert known.directory.key(first) is not None


def _restored(directory: Path, key_id: str) -> None:
    """As if the ledger were that of a moment ago, before the key was revoked."""
    with sqlite3.connect(directory / "ledger.sqlite") as connection:
        connection.execute("UPDATE versions SET version = version - 1")
        connection.execute("UPDATE keys SET revoked_ms = NULL WHERE id = ?", (key_id,))


def test_what_cannot_be_read_for_long_is_not_gone_by(known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_STALE", 0.5)
    key_id = known.key()
    assert known.directory.key(key_id) is not None
    known.away = True
    time.sleep(0.7)
    with pytest.raises(LedgerUnavailable):
        known.directory.key(key_id)
    known.away = False
    time.sleep(0.5)
    assert known.directory.key(key_id) is not None


def test_a_process_that_cannot_read_at_first_tries_again_with_the_next_call(known: Known) -> None:
    known.away = True
    with pytest.raises(LedgerUnavailable):
        known.directory.limits()
    known.away = False
    assert known.bearing() == []


def test_calls_are_judged_by_the_limits_that_bear_on_them_among_many(known: Known) -> None:
    for number in range(30):
        limit(known.database, f"key:k{number}", "requests/minute", str(number))
    for subject in ("key:k", "user:*@default", "user:ann@default", "model:m", "global", "tenant:default+model:m"):
        limit(known.database, subject, "requests/minute", "100")
    for subject in ("tenant:other", "user:bob@default", "user:*@other", "model:n", "tenant:default+key:k3"):
        limit(known.database, subject, "requests/minute", "100")
    known.directory.refresh()
    bearing = known.directory.limits().bearing(PAYER)
    assert sorted((limit.subject.text, whose) for limit, whose in bearing) == [
        ("global", ""),
        ("key:k", ""),
        ("model:m", ""),
        ("tenant:default+model:m", ""),
        ("user:*@default", "ann"),
        ("user:ann@default", ""),
    ]
