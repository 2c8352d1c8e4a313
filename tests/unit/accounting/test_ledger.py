"""What a process has of its ledger: an owner's name, holds that are given or undone, settlements that are owed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType

import pytest

from gateway.accounting import ledger as module
from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Claim
from gateway.accounting.ledger import Ledger
from gateway.errors import BudgetHeld, GatewayError, InsufficientQuota, InvalidField, LedgerUnavailable
from gateway.model import Usage
from gateway.stores import StoreError
from gateway.stores.ledger import Operation, Outcome
from gateway.stores.ledger.owners import HostOwners
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.ledgers import PRICE, SECOND, claim, ledger_in, limit, processes, rows

NOW = 1_795_435_200 * SECOND
USED = Usage(4, 2)


class Slow(SqliteDatabase):
    """A database that can be slow or broken."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.works = threading.Event()
        self.works.set()
        self.broken = False

    def transact(self, operations: Sequence[Operation]) -> list[Outcome]:
        self.works.wait()
        if self.broken:
            return [Outcome(error=StoreError("broken"))] * len(operations)
        return super().transact(operations)


@pytest.fixture
def database(tmp_path: Path) -> Slow:
    ledger_in(tmp_path)
    return Slow(tmp_path)


@pytest.fixture
def ledger(database: Slow, tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(database, HostOwners(tmp_path), "https://example.org/quota", clock=lambda: NOW)
    yield made
    database.broken = False
    database.works.set()
    made.close()
    database.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def refused(ledger: Ledger, asked: Claim, exactly: Callable[[], Bound | None] = lambda: None) -> GatewayError:
    with pytest.raises(GatewayError) as found:
        ledger.hold(asked, exactly)
    return found.value


def test_a_call_is_held_by_this_process_and_settled_once(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.hold(claim()).tokens == 20
    ((owner,),) = rows(tmp_path, "SELECT owner FROM holds")
    assert (tmp_path / "owners" / owner).exists()
    for _ in range(2):
        assert ledger.settle("call", 1, USED, 14, {"status": 200}) == []
    assert rows(tmp_path, "SELECT cost_nano, held_ms, settled_ms FROM usage") == [(14, NOW // 10**6, NOW // 10**6)]
    ledger.close()
    assert not (tmp_path / "owners" / owner).exists()


def test_what_a_call_took_is_written_down_by_itself_though_nobody_waits_for_it(ledger: Ledger, tmp_path: Path) -> None:
    ledger.hold(claim())
    ledger.settle_later("call", 1, USED, 14, {"status": 200}, lambda overruns, failure: None)
    until(lambda: rows(tmp_path, "SELECT cost_nano, usage_source FROM usage") == [(14, "provider")])
    assert rows(tmp_path, "SELECT * FROM holds") == []


def test_what_nobody_waits_for_is_owed_while_it_cannot_be_written_down(
    ledger: Ledger, database: Slow, tmp_path: Path
) -> None:
    told = list[Exception | None]()
    ledger.hold(claim())
    database.broken = True
    ledger.settle_later("call", 1, USED, 14, {"status": 200}, lambda overruns, failure: told.append(failure))
    until(lambda: bool(told))
    database.broken = False
    ledger.maintain()
    until(lambda: rows(tmp_path, "SELECT cost_nano FROM usage") == [(14,)])
    assert [type(failure) for failure in told] == [LedgerUnavailable, NoneType]


def test_a_refusal_reaches_the_caller_as_what_its_client_is_told(ledger: Ledger, database: Slow) -> None:
    limit(database, "tenant:t", "usd/total", "0.00000006")
    ledger.hold(claim("1"))
    held = refused(ledger, claim("2"))
    assert isinstance(held, BudgetHeld)
    assert held.message.endswith("https://example.org/quota")
    ledger.settle("1", 1, Usage(10, 10), 50, {})
    assert isinstance(refused(ledger, claim("3")), InsufficientQuota)


def test_what_nobody_can_bound_is_the_clients_mistake(ledger: Ledger, database: Slow) -> None:
    limit(database, "tenant:t", "usd/total", "1")
    flaw = InvalidField("an image by its address", param="messages")
    assert refused(ledger, claim()._replace(capped=Bound(10, 10, PRICE, flaw=flaw))) is flaw


def test_a_tighter_bound_is_asked_for_only_where_it_could_help(ledger: Ledger, database: Slow, tmp_path: Path) -> None:
    asked = list[str]()

    def exactly(prompt: int = 3) -> Bound:
        asked.append("asked")
        return Bound(prompt, 10, PRICE)

    limit(database, "tenant:t", "tokens/total", "33")
    assert ledger.hold(claim("1"), exactly).tokens == 20
    assert asked == []
    assert ledger.hold(claim("2"), exactly).tokens == 13
    assert asked == ["asked"]
    refused(ledger, claim("3"), exactly)
    assert asked == ["asked"], "not where the answer alone is too long"
    limit(database, "tenant:t", "tokens/total", "52")
    refused(ledger, claim("4"), lambda: exactly(10))
    assert asked == ["asked"] * 2
    assert rows(tmp_path, "SELECT held FROM balances") == [(33,)]


def test_a_hold_that_comes_too_late_is_given_back(
    ledger: Ledger, database: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(database, "tenant:t", "usd/total", "1")
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    ledger.open()
    database.works.clear()
    assert isinstance(refused(ledger, claim()), LedgerUnavailable)
    database.works.set()
    until(lambda: rows(tmp_path, "SELECT cost_nano, error_code FROM usage") == [(0, "ledger_unavailable")])
    assert rows(tmp_path, "SELECT spent, held FROM balances") == [(0, 0)]
    assert rows(tmp_path, "SELECT * FROM holds") == []


def test_a_settlement_that_cannot_be_written_is_owed_and_a_hold_is_not(
    ledger: Ledger, database: Slow, tmp_path: Path
) -> None:
    ledger.hold(claim("1"))
    database.broken = True
    with pytest.raises(LedgerUnavailable) as failure:
        ledger.settle("1", 1, USED, 14, {})
    assert failure.value.detail == "broken"
    assert isinstance(refused(ledger, claim("2")), LedgerUnavailable)
    with pytest.raises(LedgerUnavailable):
        ledger.maintain()
    database.broken = False
    ledger.maintain()
    until(lambda: rows(tmp_path, "SELECT call_id, cost_nano FROM usage") == [("1", 14)])
    assert rows(tmp_path, "SELECT * FROM holds") == []


def test_a_crash_of_one_operation_is_its_callers_alone(ledger: Ledger) -> None:
    with pytest.raises(LookupError):
        ledger.settle("no such call", 1, USED, 14, {})
    assert ledger.hold(claim()).tokens == 20


def test_without_a_directory_for_its_name_it_is_unavailable(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "owners").write_text("no directory")
    error = refused(ledger, claim())
    assert isinstance(error, LedgerUnavailable)
    assert "cannot be written" in (error.detail or "")
    (tmp_path / "owners").unlink()
    assert ledger.hold(claim()).tokens == 20


def _hold_and_die(directory: Path) -> None:
    ledger = Ledger(SqliteDatabase(directory), HostOwners(directory), clock=lambda: NOW)
    ledger.hold(claim("of a dead process"))


def test_what_a_dead_process_held_is_settled_and_what_this_one_holds_is_not(ledger: Ledger, tmp_path: Path) -> None:
    ledger.hold(claim("of this process"))
    worker = processes().Process(target=_hold_and_die, args=(tmp_path,))
    worker.start()
    worker.join()
    assert [ledger.expire(), ledger.expire()] == [1, 0]
    assert rows(tmp_path, "SELECT call_id, usage_source FROM usage") == [("of a dead process", "bound")]
    assert rows(tmp_path, "SELECT call_id FROM holds") == [("of this process",)]
