"""What the ledger needs now and then, done by every worker beside its requests; twice is no harm."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from gateway.accounting.ledger import Ledger
from gateway.concurrency import every
from gateway.errors import LedgerUnavailable
from gateway.policy.book import prune_changes
from gateway.policy.limits import CALENDAR, SLIDING, since
from gateway.stores import StoreError
from gateway.stores.ledger import Transaction

log = logging.getLogger(__name__)

_TICK = 1.0  # seconds
_SWEEP_EVERY = 5.0  # seconds between two looks for calls of dead workers, which are to be settled within a minute
_PRUNE_EVERY = 3600.0  # seconds
_PRUNED_AT_ONCE = 1000  # rows of one transaction, some 20 ms, so that calls need not wait for long
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
        self._next_sweep = self._next_prune = 0.0
        self._well = True

    def start(self) -> None:
        """Begin, in this process."""
        every(_TICK, self.turn)

    def turn(self) -> None:
        """Do what is due. What fails is told once, and tried again in the next turn."""
        now = time.monotonic()
        try:
            self._ledger.maintain()
            if now >= self._next_sweep:
                self.sweep()
                self._next_sweep = now + _SWEEP_EVERY
            if now >= self._next_prune and self.prune():
                self._next_prune = now + _PRUNE_EVERY
            if not self._well:
                log.info("the ledger is kept in order again")
            self._well = True
        except Exception as error:
            self._failed()
            if self._well:
                expected = isinstance(error, StoreError | LedgerUnavailable)
                log.warning("the ledger is not kept in order: %s", _said(error), exc_info=None if expected else error)
            self._well = False

    def sweep(self) -> None:
        """Settle the calls of dead workers."""
        if expired := self._ledger.expire():
            log.warning("settled %d calls of workers that are no more, at the most that they could cost", expired)

    def prune(self) -> bool:
        """Delete some of the rows older than are kept; the sums of their days stay. Whether that was all."""
        before = int(time.time()) - self._keep_days * _DAY
        pruned: int = self._ledger.write(lambda tx: _prune(tx, before))
        return pruned < _PRUNED_AT_ONCE


def _said(error: Exception) -> str:
    return getattr(error, "detail", None) or str(error)


def _prune(tx: Transaction, before: int) -> int:
    now = time.time_ns()
    tx.run("prune_empty")  # of users who were refused: there may be any number, and they begin anew as they were
    for period in (*SLIDING, *CALENDAR):
        counts = since(period, now)  # 0 in total, and nothing began before that
        tx.run("prune_balances", of_period=period, before=counts if period in SLIDING else min(before, counts))
    prune_changes(tx)
    return len(tx.run("prune_usage", before=before * 1000, most=_PRUNED_AT_ONCE))
