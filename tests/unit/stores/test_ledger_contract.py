"""A ledger, whichever database has it: one writer at a time, all or nothing, whole after any kill."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest

from gateway.accounting import entries
from gateway.model import Usage
from gateway.stores import StoreError
from gateway.stores.ledger import Database, Operation, Refusal, Transaction
from tests.fakes.ledgers import SECOND, Place, claim, done, ledger_at, limit, processes, rows

NOW = 1_795_435_200 * SECOND


def count(tx: Transaction) -> str:
    tx.run("changed")
    return "counted"


def counted(place: Place) -> int:
    found: int = sum(row[0] for row in rows(place, "SELECT version FROM versions"))
    return found


def failing(error: Exception) -> Operation:
    def fail(tx: Transaction) -> None:
        count(tx)
        raise error

    return fail


def test_an_operation_that_fails_fails_alone_and_leaves_nothing(database: Database, place: Place) -> None:
    outcomes = database.transact([count, failing(ValueError("wrong")), count, lambda tx: tx.run("no such statement")])
    assert [outcome.result for outcome in outcomes] == ["counted", None, "counted", None]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ValueError, type(None), KeyError]
    assert counted(place) == 2


def test_a_refusal_undoes_no_other_and_does_none_again(database: Database, place: Place) -> None:
    calls = []
    outcomes = database.transact([lambda tx: calls.append(count(tx)), failing(Refusal("no")), count])
    assert [type(outcome.error) for outcome in outcomes] == [type(None), Refusal, type(None)]
    assert calls == ["counted"]
    assert counted(place) == 3, "what a refusal had written stands"


def test_what_one_transaction_remembers_of_the_limits_is_forgotten_with_it(database: Database, place: Place) -> None:
    def set_and_fail(tx: Transaction) -> None:
        entries.limits(tx)
        tx.run("put_limit", subject="tenant:t", unit="usd", period="total", mode="hard", value=0)
        tx.run("changed")
        tx.notes.clear()
        assert len(entries.limits(tx)) == 1
        raise ValueError

    database.transact([set_and_fail])
    other = ledger_at(place)
    limit(other, "key:other", "usd/total", "0")  # by another process, under the same version
    other.close()
    done(database, lambda tx: entries.hold(tx, claim(), NOW))


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError, match=r"read-?only"):
        database.read(count)


def test_a_reader_sees_one_moment(database: Database, place: Place) -> None:
    def look(tx: Transaction) -> None:
        before = tx.run("version")
        done(database, count)
        assert tx.run("version") == before

    done(database, count)
    database.read(look)
    assert counted(place) == 2


def _spend(place: Place, name: str, told: Any = None) -> None:
    database = ledger_at(place)
    for number in range(25 if told is None else 10**6):
        call = f"{name}-{number}"
        both = [
            lambda tx, call=call: entries.hold(tx, claim(call, owner=name), NOW),
            lambda tx, call=call: entries.settle(tx, call, 1, NOW, Usage(10, 10), 50, {"status": 200}),
        ]
        assert not [outcome.error for outcome in database.transact(both) if outcome.error]
        if told is not None:
            told.send_bytes(b"committed")


def test_four_processes_that_write_at_once_lose_nothing(database: Database, place: Place) -> None:
    limit(database, "tenant:t", "usd/total", "1")
    context = processes()
    writers = [context.Process(target=_spend, args=(place, f"writer{number}")) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert rows(place, "SELECT count(DISTINCT call_id), sum(cost_nano) FROM usage") == [(100, 5000)]
    assert rows(place, "SELECT spent, held FROM balances") == [(5000, 0)]
    assert rows(place, "SELECT requests, cost_nano FROM days") == [(100, 5000)]


def test_a_kill_in_the_midst_leaves_a_whole_ledger_with_all_that_was_promised(database: Database, place: Place) -> None:
    limit(database, "tenant:t", "usd/total", "1")
    context = processes()
    promised = 0
    for number in range(6):
        told, tell = context.Pipe(duplex=False)
        writer = context.Process(target=_spend, args=(place, f"writer{number}", tell))
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
    ((bought,),) = rows(place, "SELECT count(*) FROM usage")
    assert promised <= bought <= promised + 6
    assert rows(place, "SELECT spent, held FROM balances") == [(50 * bought, 0)]
    assert rows(place, "SELECT requests FROM totals") == [(bought,)]
    assert done(database, count) == "counted", "and nobody keeps the lock"
