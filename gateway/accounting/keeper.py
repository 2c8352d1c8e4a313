"""What the ledger needs now and then, done by every worker beside its requests; twice is no harm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from gateway.accounting.balances import limits
from gateway.accounting.ledger import Ledger
from gateway.accounting.limits import SLIDING
from gateway.errors import LedgerUnavailable
from gateway.stores import StoreError
from gateway.stores.ledger import Transaction

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds
_SWEEP_EVERY = 10.0  # seconds between two looks for calls of dead workers, which are to be settled within a minute
_PRUNE_EVERY = 3600.0  # seconds
_PRUNED_AT_ONCE = 500  # rows of one transaction, so that calls need not wait for long
_DAY = 86_400  # seconds


class Keeper:
    """Sweeps, checkpoints and prunes.

    Args:
        ledger: what to keep.
        keep_days: how long rows are kept.
        failed: is called where something could not be done, which the next turn tries again.
    """

    def __init__(self, ledger: Ledger, keep_days: int, failed: Callable[[], None]) -> None:
        self._ledger = ledger
        self._keep_days = keep_days
        self._failed = failed
        self._swept = self._pruned = 0.0

    def start(self) -> None:
        """Begin, in this process."""
        threading.Thread(target=self._run, daemon=True, name="keeper").start()

    def turn(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        try:
            self._ledger.maintain()
            if now - self._swept >= _SWEEP_EVERY or not self._swept:
                self.sweep()
                self._swept = now
            if now - self._pruned >= _PRUNE_EVERY or not self._pruned:
                self.prune()
                self._pruned = now
        except (StoreError, LedgerUnavailable) as error:
            self._failed()
            log.warning("the ledger was not kept in order: %s", getattr(error, "detail", None) or error)
        except Exception as crash:
            log.error("the ledger was not kept in order", exc_info=crash)

    def sweep(self) -> None:
        """Settle the calls of dead workers."""
        if expired := self._ledger.expire():
            log.warning("settled %d calls of workers that are no more, at the most that they could cost", expired)

    def prune(self) -> None:
        """Delete rows older than are kept; the sums of their days stay."""
        before = int(time.time()) - self._keep_days * _DAY
        while self._ledger.write(lambda tx: _prune_rows(tx, before)) == _PRUNED_AT_ONCE:
            time.sleep(_TICK)
        self._ledger.write(lambda tx: _prune_balances(tx, before))

    def _run(self) -> None:
        while True:
            self.turn()
            time.sleep(_TICK)


def _prune_rows(tx: Transaction, before: int) -> int:
    return len(tx.run("prune_usage", before=before * 1000, most=_PRUNED_AT_ONCE))


def _prune_balances(tx: Transaction, before: int) -> None:
    now = time.time_ns()
    for limit in limits(tx):
        if limit.period != "total":
            oldest = limit.since(now) if limit.period in SLIDING else before
            tx.run("prune_balances", of=limit.id, before=oldest)
