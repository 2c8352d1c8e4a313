"""The keeper settles what dead workers held, prunes what is old, and goes on after whatever fails."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.accounting import entries, keeper, reports
from gateway.accounting.keeper import Keeper
from gateway.accounting.ledger import Ledger
from gateway.stores import StoreError
from gateway.stores.ledger.owners import HostOwners
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.ledgers import FILE, SECOND, claim, done, ledger_in, limit, rows, spend

DAY = 86_400 * SECOND


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    found = ledger_in(tmp_path)
    yield found
    found.close()


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def ledger(database: SqliteDatabase, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(SqliteDatabase(tmp_path), HostOwners(tmp_path))
    yield made
    made.close()


@pytest.fixture
def kept(ledger: Ledger, failures: list[str], monkeypatch: pytest.MonkeyPatch) -> Keeper:
    monkeypatch.setattr(keeper, "_TICK", 0)
    return Keeper(ledger, 10, lambda: failures.append("failed"))


def hold(database: SqliteDatabase, call_id: str, owner: str) -> None:
    done(database, lambda tx: entries.hold(tx, claim(call_id, owner=owner), time.time_ns()))


def a_dead_worker(directory: Path) -> str:
    program = f"from pathlib import Path; from gateway.stores.owners import Owners; print(Owners(Path({str(directory)!r})).claim())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_what_a_dead_worker_held_is_settled_at_its_bound_and_what_the_living_hold_is_not(
    database: SqliteDatabase, kept: Keeper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    living = HostOwners(tmp_path)
    limit(database, "tenant:t", "usd/total", "1")
    dead = a_dead_worker(tmp_path)
    for call, owner in (("1", dead), ("2", dead), ("3", "without a file"), ("4", living.claim())):
        hold(database, call, owner)
    kept.turn()
    kept.turn()
    found = rows(tmp_path, "SELECT call_id, usage_source, cost_nano, error_code FROM usage ORDER BY call_id")
    assert found == [(call, "bound", 50, "cut_off") for call in "123"]
    assert rows(tmp_path, "SELECT spent, held FROM balances") == [(150, 50)]
    assert sum("settled 2 calls" in line or "settled 3 calls" in line for line in caplog.messages) == 1
    assert not (tmp_path / "owners" / dead).exists()
    done(database, living.release)


def test_two_that_sweep_at_once_settle_a_call_once(database: SqliteDatabase, kept: Keeper, tmp_path: Path) -> None:
    other = Ledger(SqliteDatabase(tmp_path), HostOwners(tmp_path))
    other.open()
    hold(database, "1", "dead")
    assert other.expire() == 1
    kept.sweep()
    other.close()
    assert rows(tmp_path, "SELECT requests, cost_nano FROM totals") == [(1, 50)]


def test_old_rows_go_in_batches_and_their_sums_stay(
    database: SqliteDatabase, kept: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_PRUNED_AT_ONCE", 3)
    now = time.time_ns()
    for number in range(7):
        spend(database, f"old{number}", now - 11 * DAY)
    spend(database, "young", now - 9 * DAY)
    left = []
    for _ in range(4):  # others are swept for between two batches
        kept.turn()
        left += rows(tmp_path, "SELECT count(*) FROM usage")
    assert left == [(5,), (2,), (1,), (1,)]
    assert rows(tmp_path, "SELECT call_id FROM usage") == [("young",)]
    assert rows(tmp_path, "SELECT requests FROM totals") == [(8,)]
    assert rows(tmp_path, "SELECT sum(requests) FROM days") == [(8,)]


def test_balances_of_periods_that_are_over_go_and_no_other_does(
    database: SqliteDatabase, kept: Keeper, tmp_path: Path
) -> None:
    for rate in ("usd/minute", "usd/day", "usd/total"):
        limit(database, "tenant:t", rate, "1", "soft")
    now = time.time_ns()
    for days in (40, 12, 2, 0):
        spend(database, f"{days}", now - days * DAY)
    living = HostOwners(tmp_path)
    flying = claim("flying", owner=living.claim())
    done(database, lambda tx: entries.hold(tx, flying, now - 30 * DAY))
    kept.turn()
    query = (
        "SELECT period, sum(spent), sum(held), count(*) FROM balances JOIN limits ON limits.id = limit_id GROUP BY 1"
    )
    assert sorted(rows(tmp_path, query)) == [("day", 100, 50, 3), ("minute", 50, 50, 2), ("total", 200, 50, 1)]
    done(database, living.release)
    kept.sweep()
    assert rows(tmp_path, "SELECT sum(held) FROM balances") == [(0,)], "it had a balance to give back"


@pytest.mark.parametrize("period", ["week", "month"])
def test_a_period_that_is_longer_than_rows_are_kept_is_not_forgotten(
    period: str, database: SqliteDatabase, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sunday = 1_795_996_800 * SECOND  # the moment after 2026-11-29, the last Sunday of its month
    for module in (keeper, reports):
        monkeypatch.setattr(module.time, "time_ns", lambda: sunday - SECOND)
    monkeypatch.setattr(keeper.time, "time", lambda: sunday // SECOND - 1)
    limit(database, "tenant:t", f"usd/{period}", "1")
    spend(database, "call", sunday - 5 * DAY)
    Keeper(ledger, 1, lambda: None).prune()
    (standing,) = database.read(lambda tx: list(reports.standings(tx)))
    assert standing.spent == 50


def test_it_goes_on_after_the_ledger_was_out_of_reach(
    database: SqliteDatabase, kept: Keeper, failures: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hold(database, "1", "dead")
    database.close()
    kept.turn()
    hold(database, "2", "dead too")
    database.close()
    (tmp_path / FILE).rename(tmp_path / "away")
    caplog.clear()
    caplog.set_level(logging.INFO)
    for _ in range(3):
        kept.turn()
    assert failures == ["failed"] * 3
    assert caplog.text.count("the ledger is not kept in order") == 1, "told once"
    (tmp_path / "away").rename(tmp_path / FILE)
    kept._next_sweep = 0
    kept.turn()
    assert failures == ["failed"] * 3
    assert "the ledger is kept in order again" in caplog.text
    assert rows(tmp_path, "SELECT call_id FROM usage ORDER BY 1") == [("1",), ("2",)]


def test_a_failure_that_nobody_foresaw_is_logged_and_the_next_turn_is_taken(
    kept: Keeper, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "maintain", lambda: 1 / 0)
        kept.turn()
    (told,) = caplog.records
    assert told.exc_info is not None
    assert not kept._next_sweep
    kept.turn()
    assert kept._next_sweep


def test_sweeps_that_fail_do_not_pile_up(
    database: SqliteDatabase, kept: Keeper, ledger: Ledger, failures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(database, "1", "dead")
    ledger.open()
    writer = ledger._database
    with monkeypatch.context() as patch:
        patch.setattr(writer, "_commit", lambda operations: (_ for _ in ()).throw(StoreError("full")))
        for _ in range(5):
            kept.turn()
    assert failures == ["failed"] * 5
    assert len(ledger._commit._owed) <= 1
    kept.turn()
    assert database.read(lambda tx: tx.run("holds")) == []
