"""The ledger in PostgreSQL: whatever becomes of the server or of a connection, it fails closed and heals by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from gateway.accounting import entries
from gateway.accounting.entries import Claim
from gateway.accounting.ledger import Ledger
from gateway.errors import LedgerUnavailable
from gateway.model import Usage
from gateway.stores import StoreError
from gateway.stores.ledger import Operation, Transaction, migrate
from gateway.stores.ledger import postgres_connection as module
from gateway.stores.ledger.owners import LeasedOwners
from gateway.stores.ledger.postgresql import PostgresDatabase
from tests.fakes.ledgers import SECOND, claim, done, ledger_at, rows, spend
from tests.fakes.postgres_server import PostgresServer
from tests.unit.stores.test_ledger_contract import count, counted

NOW = 1_795_435_200 * SECOND
PASSWORD = "s3cret-of-the-ledger"


@pytest.fixture
def database(postgres: str) -> Iterator[PostgresDatabase]:
    found = PostgresDatabase(urlsplit(postgres)._replace(netloc=f"postgres:{PASSWORD}@{place(postgres)}").geturl())
    yield found
    found.close()


def place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def failure(database: PostgresDatabase, operation: Operation = count) -> str:
    """Why nothing can be done."""
    (outcome,) = database.transact([operation])
    assert isinstance(outcome.error, StoreError), outcome
    return str(outcome.error)


def operate(url: str, statement: str) -> None:
    """Do what an operator of the server may do."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(statement.format(name=urlsplit(url).path[1:]).encode())


END_ALL = (
    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
)

TROUBLES = {
    "read-only": (
        "ALTER DATABASE {name} SET default_transaction_read_only = on",
        "ALTER DATABASE {name} SET default_transaction_read_only = off",
    ),
    "without its tables": ("ALTER TABLE versions RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO versions"),
    "of another version": (
        "UPDATE alembic_version SET version_num = '9999'",
        f"UPDATE alembic_version SET version_num = '{migrate.HEAD}'",
    ),
}


@pytest.mark.parametrize("already_open", [False, True])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_ledger_that_cannot_be_used_fails_closed_and_heals_by_itself(
    trouble: str, already_open: bool, database: PostgresDatabase, postgres: str
) -> None:
    if already_open:
        done(database, count)
    trouble, remedy = TROUBLES[trouble]
    operate(postgres, trouble)
    operate(postgres, END_ALL)
    assert "PostgreSQL: " in failure(database)
    operate(postgres, remedy)
    assert done(database, count) == "counted"
    assert counted(postgres) == 1 + already_open


def test_a_connection_that_has_ended_is_replaced_before_anybody_notices(
    database: PostgresDatabase, postgres: str
) -> None:
    done(database, count)
    database.read(count_of_versions)
    operate(postgres, END_ALL)
    assert done(database, count) == "counted"
    assert database.read(count_of_versions) == 1


def count_of_versions(tx: Transaction) -> int:
    return len(tx.run("version"))


def test_a_transaction_that_loses_its_connection_fails_for_all_and_leaves_nothing(
    database: PostgresDatabase, postgres: str
) -> None:
    def lose(tx: Transaction) -> None:
        operate(postgres, END_ALL)
        tx.run("version")

    outcomes = database.transact([count, lose, count])
    assert {type(outcome.error) for outcome in outcomes} == {StoreError}
    assert counted(postgres) == 0


@pytest.mark.parametrize("last", ["version", "prune_empty"])
def test_a_worker_that_stops_in_a_transaction_holds_others_up_for_seconds_only(
    last: str, database: PostgresDatabase, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert b"idle_in_transaction_session_timeout = '4s'" in module._SESSION
    monkeypatch.setattr(module, "_SESSION", module._SESSION.replace(b"'4s'", b"'200ms'"))
    stopped, said = ledger_at(postgres), list[Any]()
    begun, go_on = threading.Event(), threading.Event()

    def stop(tx: Transaction) -> None:
        count(tx)
        tx.run(last)  # with rows, and without
        begun.set()
        go_on.wait(3)

    worker = threading.Thread(target=lambda: said.extend(stopped.transact([stop])))
    worker.start()
    assert begun.wait(10), said
    began = time.monotonic()
    done(database, count)
    assert time.monotonic() - began < 2.5
    go_on.set()
    worker.join()
    assert isinstance(said[0].error, StoreError)
    assert counted(postgres) == 1
    stopped.close()


def test_a_server_that_has_no_password_for_us_or_is_not_there_is_told_without_its_address(postgres: str) -> None:
    for url in (f"postgresql://nobody:{PASSWORD}@{place(postgres)}/x", f"postgresql://u:{PASSWORD}@127.0.0.1:1/x",
                f"postgresql://u:{PASSWORD}@no.such.host.invalid/x", f"postgresql://u:{PASSWORD}@127.0.0.1/x?what=1",
                f"postgresql://u:{PASSWORD}%zz@127.0.0.1/x"):  # fmt: skip
        database = PostgresDatabase(url)
        for attempt in (database.prepare, database.exists, database.room, lambda: database.read(count_of_versions)):  # noqa: B023
            with pytest.raises(StoreError) as error:
                attempt()
            assert str(error.value).startswith("PostgreSQL: ")
            assert not any(part in str(error.value) for part in (PASSWORD, "127.0.0.1", "such", "\n"))
        assert PASSWORD not in failure(database)


def test_what_no_text_may_hold_is_kept_as_far_as_it_may(database: PostgresDatabase, postgres: str) -> None:
    spend(database, "call", NOW, user_id="a\0b", session_id="\0")
    assert rows(postgres, "SELECT user_id, session_id FROM usage") == [("a\ufffdb", "\ufffd")]


def test_amounts_larger_than_half_of_all_are_whole_numbers(database: PostgresDatabase) -> None:
    for number in range(3):
        spend(database, f"call{number}", NOW, Usage(2**58, 2**58))
    (found,) = database.read(lambda tx: tx.run("usage_by_day", since="2026-01-01", whose=""))
    assert found[3] == 3 * 2**58
    assert {type(amount) for amount in found[1:]} == {int}


def test_nobody_holds_a_connection_while_a_call_is_in_flight(postgres: str) -> None:
    ledger = Ledger(PostgresDatabase(postgres), LeasedOwners(), clock=lambda: NOW)
    calls = [f"call{number}" for number in range(50)]
    threads = [threading.Thread(target=lambda call=call: ledger.hold(claim(call))) for call in calls]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.read(count_of_versions)
    assert rows(postgres, "SELECT count(*) FROM holds") == [(50,)]
    ours = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert rows(postgres, ours) == [("idle",)] * 2
    for call in calls:
        ledger.settle(call, 1, Usage(1, 1), 5, {})
    ledger.close()
    ledger._database.close()


def test_a_server_that_is_killed_is_refused_at_once_and_serves_again_when_it_is_back() -> None:
    with PostgresServer() as server:
        database = PostgresDatabase(server.url())
        database.prepare()
        ledger = Ledger(database, LeasedOwners())
        ledger.hold(claim("1"))
        server.kill()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(LedgerUnavailable):
                ledger.hold(claim("2"))
            assert time.monotonic() - began < 2
        with pytest.raises(LedgerUnavailable):
            ledger.settle("1", 1, Usage(1, 1), 5, {})
        server.start()
        ledger.hold(claim("3"))
        assert rows(server.url(), "SELECT call_id, cost_nano FROM usage") == [("1", 5)]
        assert rows(server.url(), "SELECT call_id FROM holds") == [("3",)]
        ledger.close()
        database.close()


def test_a_server_that_hangs_is_waited_for_as_long_as_callers_have_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.accounting.ledger._PATIENCE", 1.0)
    monkeypatch.setattr("gateway.stores.ledger.postgresql._PATIENCE", 1.0)
    with PostgresServer() as server:
        database = PostgresDatabase(server.url())
        database.prepare()
        ledger = Ledger(database, LeasedOwners())
        ledger.hold(claim("1"))
        ledger.read(count_of_versions)
        server.pause()
        took = [refused_after(ledger, call) for call in ("2", "3", "4")]
        assert 0.9 < took[0] < 3
        assert max(took[1:]) < 0.8
        with pytest.raises(StoreError):
            ledger.read(count_of_versions)
        server.resume()
        until_held = time.monotonic() + 5
        while not held(ledger, claim("5")):
            assert time.monotonic() < until_held, "it serves again"
            time.sleep(0.02)
        while rows(server.url(), "SELECT call_id FROM holds ORDER BY 1") != [("1",), ("5",)]:
            assert time.monotonic() < until_held, "what was held for those who had given up is given back"
            time.sleep(0.02)
        ledger.close()
        database.close()


def held(ledger: Ledger, asked: Claim) -> bool:
    with suppress(LedgerUnavailable):
        ledger.hold(asked)
        return True
    return False


def refused_after(ledger: Ledger, call: str) -> float:
    began = time.monotonic()
    with pytest.raises(LedgerUnavailable):
        ledger.hold(claim(call))
    return time.monotonic() - began


def test_a_settlement_whose_transaction_failed_for_whatever_the_server_says_is_owed(
    database: PostgresDatabase, postgres: str
) -> None:
    done(database, lambda tx: entries.hold(tx, claim(), NOW))
    for state in ("40001", "40P01", "57P01", "53100", "53300", "55P03", "57014", "25006", "42501", "XX000"):
        raising = f"BEGIN RAISE 'no' USING ERRCODE = '{state}'; END"
        operate(postgres, f"CREATE OR REPLACE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ {raising} $$")
        operate(postgres, "CREATE OR REPLACE TRIGGER no BEFORE INSERT ON usage EXECUTE FUNCTION no()")
        said = failure(database, lambda tx: entries.settle(tx, "call", 1, NOW, Usage(1, 1), 5, {}))
        assert said == "PostgreSQL: no"
