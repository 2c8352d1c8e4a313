"""A commit that nobody knows the outcome of: a hold is neither leaked nor doubled, and a settlement is written once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.accounting.ledger import Ledger
from gateway.errors import LedgerUnavailable
from gateway.model import Usage
from gateway.stores.ledger import Operation, Outcome
from gateway.stores.ledger.owners import LeasedOwners
from gateway.stores.ledger.postgresql import PostgresDatabase
from tests.fakes.cutting_proxy import CuttingProxy
from tests.fakes.ledgers import SECOND, claim, ledger_at, limit, rows

NOW = 1_795_435_200 * SECOND
SIDES = pytest.mark.parametrize("side", ["before", "after", "ended"])


class Cut(PostgresDatabase):
    """A ledger whose next commit is cut off, on the one side of it or the other, or by a server that shuts down."""

    def __init__(self, url: str, proxy: CuttingProxy) -> None:
        super().__init__(urlsplit(url)._replace(netloc=f"postgres@127.0.0.1:{proxy.port}").geturl())
        self._proxy = proxy
        self.next: Any = None

    def _commit(self, operations: Sequence[Operation]) -> list[Outcome]:
        def cut(tx: Any) -> None:
            if self.next:
                self._proxy.cut(self.next)
                self.next = None

        return super()._commit([*operations, cut])[:-1]


@pytest.fixture
def database(postgres: str) -> Iterator[Cut]:
    with CuttingProxy(urlsplit(postgres).port or 5432) as proxy:
        yield Cut(postgres, proxy)


@pytest.fixture
def ledger(database: Cut, postgres: str) -> Iterator[Ledger]:
    other = ledger_at(postgres)
    limit(other, "tenant:t", "usd/total", "1")
    other.close()
    made = Ledger(database, LeasedOwners(), clock=lambda: NOW)
    yield made
    made.close()
    database.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@SIDES
def test_a_hold_in_doubt_is_refused_and_given_back_if_it_was_taken(
    side: str, ledger: Ledger, database: Cut, postgres: str
) -> None:
    database.next = side
    with pytest.raises(LedgerUnavailable) as refused:
        ledger.hold(claim())
    assert "postgres" not in (refused.value.detail or "").replace("PostgreSQL", "")
    ledger.hold(claim("next"))
    until(lambda: rows(postgres, "SELECT call_id FROM holds") == [("next",)])
    assert rows(postgres, "SELECT spent, held FROM balances") == [(0, 50)]
    given_back = [("call", 0, "ledger_unavailable")] if side != "before" else []
    assert rows(postgres, "SELECT call_id, cost_nano, error_code FROM usage") == given_back


@SIDES
def test_a_settlement_in_doubt_is_owed_and_written_once(
    side: str, ledger: Ledger, database: Cut, postgres: str
) -> None:
    ledger.hold(claim())
    database.next = side
    with pytest.raises(LedgerUnavailable):
        ledger.settle("call", 1, Usage(4, 2), 14, {"status": 200})
    ledger.maintain()
    until(lambda: rows(postgres, "SELECT call_id, cost_nano FROM usage") == [("call", 14)])
    assert rows(postgres, "SELECT count(*) FROM holds") == [(0,)]
    assert rows(postgres, "SELECT spent, held FROM balances") == [(14, 0)]
    assert rows(postgres, "SELECT requests, cost_nano FROM totals") == [(1, 14)]


def test_an_expiry_in_doubt_is_done_once(ledger: Ledger, database: Cut, postgres: str) -> None:
    dead = Ledger(ledger_at(postgres), LeasedOwners(), clock=lambda: NOW)
    dead.hold(claim("of a dead worker"))
    rows(postgres, "UPDATE leases SET until_ms = 0 RETURNING owner")
    assert ledger.expire() == 0, "at the first look its owner may only be late"
    database.next = "after"
    with pytest.raises(LedgerUnavailable):
        ledger.expire()
    for _ in range(2):
        ledger.expire()
    assert rows(postgres, "SELECT usage_source, cost_nano FROM usage") == [("bound", 50)]
    assert rows(postgres, "SELECT spent, held FROM balances") == [(50, 0)]
    dead.close()
    dead._database.close()
