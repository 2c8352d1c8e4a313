"""The ledger as the rest of the house sees it: hold before a call, settle after it, whatever happens in between."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from gateway import process
from gateway.accounting import entries
from gateway.accounting.balances import counted
from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Claim, Overrun, Refused, Unbounded
from gateway.concurrency import off_the_loop
from gateway.errors import LedgerUnavailable
from gateway.model import Usage
from gateway.policy.refusals import refusal
from gateway.stores import StoreError
from gateway.stores.group_commit import GroupCommit
from gateway.stores.ledger import Database, Operation, Outcome, Transaction
from gateway.stores.ledger.owners import Owners

T = TypeVar("T")

log = logging.getLogger(__name__)

_PATIENCE = 5.0  # seconds that a call waits for its hold
_PATIENCE_TO_SETTLE = 1.0  # seconds that an answer waits until it is written down; it is owed then
_LAST_PATIENCE = 3.0  # seconds that a process which ends gives what it still owes
_NOTHING = Usage(0, 0)


def _nothing(tx: Transaction) -> None:
    """Do nothing."""


class Ledger:
    """What was bought, what is held and what may be spent. It opens itself with its first use in a process.

    Args:
        database: where it is kept.
        owners: tells the holds of the living from those of the dead.
        help_url: where users are sent whose limit is spent, or None.
        committed: is told how many seconds each transaction took, or None where it failed.
        clock: nanoseconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        owners: Owners,
        help_url: str | None = None,
        committed: Callable[[float | None], None] = lambda seconds: None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._database = database
        self._owners = owners
        self._help_url = help_url
        self._told = committed
        self._works = True
        self._complained = False
        self._clock = clock
        self._opening = threading.Lock()
        self._process = 0
        self._commit: GroupCommit
        self._owner = ""

    def hold(self, claim: Claim, exactly: Callable[[], Bound | None] = lambda: None) -> Bound:
        """Hold what a call may take.

        Args:
            claim: what it asks for.
            exactly: a tighter bound of the same call under a hard limit, asked for only where the first has no room
                and another might have; None where there is none.

        Returns:
            What is held, with the cap to enforce.

        Raises:
            InsufficientQuota, BudgetHeld: a limit has no room for it.
            InvalidField: a hard limit bears on it, and it has no bound or no price.
            LedgerUnavailable: nothing can be written down.
        """
        self.open()
        claim = claim.of(self._owner)
        try:
            return self._hold(claim)
        except Refused as refused:
            shortage, without_prompt = refused.shortage, replace(claim.capped, prompt_tokens=1)
            least = counted(shortage.limit.unit, claim.requests, without_prompt.tokens, without_prompt.nano)
            bound = exactly() if shortage.limit.mode == "hard" and shortage.has_room_for(least) else None
            if bound is None:
                raise refusal(shortage, self._help_url) from None
        try:
            return self._hold(claim._replace(capped=bound))
        except Refused as refused:
            raise refusal(refused.shortage, self._help_url) from None

    def settle(
        self, call_id: str, attempt: int, usage: Usage, cost: int | None, ending: Mapping[str, Any]
    ) -> list[Overrun]:
        """Write down what an attempt took.

        Returns:
            The limits that this went past.

        Raises:
            LedgerUnavailable: it is not written down yet; it will be as soon as that is possible.
        """
        overruns: list[Overrun] = self._submit(
            self._settlement(call_id, attempt, usage, cost, ending), patience=_PATIENCE_TO_SETTLE
        )
        return overruns

    def settle_later(
        self,
        call_id: str,
        attempt: int,
        usage: Usage,
        cost: int | None,
        ending: Mapping[str, Any],
        told: Callable[[list[Overrun], Exception | None], None],
    ) -> None:
        """Write down what an attempt took within milliseconds, and do not wait for it. It stays held until then.

        Args:
            told: is told the limits that this went past; or LedgerUnavailable where it is owed, and any other error
                where it never will be written down so.
        """
        self.open()

        def tell(outcome: Outcome) -> None:
            error = outcome.error
            told(outcome.result or [], self._unavailable(error) if isinstance(error, StoreError) else error)

        self._commit.post(self._settlement(call_id, attempt, usage, cost, ending), tell)

    def give(self, claim: Claim, usage: Usage, ending: Mapping[str, Any]) -> Bound:
        """Write down an answer that was not bought, where the limits have room for it.

        Args:
            claim: what it asks for.
            usage: what it took when it was bought.
            ending: what else its row says, by column.

        Returns:
            What was held, with how the limits stand.

        Raises:
            InsufficientQuota, BudgetHeld: a limit has no room for it.
            LedgerUnavailable: nothing can be written down.
        """
        self.open()
        try:
            bound: Bound = self._submit(
                lambda tx: entries.give(tx, claim.of(self._owner), self._clock(), usage, ending), _nothing
            )
        except Refused as refused:
            raise refusal(refused.shortage, self._help_url) from None
        return bound

    def expire(self) -> int:
        """Settle at their bounds the calls of workers that are no more; how many that were.

        Raises:
            StoreError, LedgerUnavailable: it cannot be done now.
        """
        self.write(self._owners.keep)
        gone = self.read(self._owners.gone)
        return sum(self._submit(partial(self._expire, owner)) for owner in gone)

    def write(self, operation: Operation) -> Any:
        """Have another operation committed. Raises LedgerUnavailable, and what the operation raises."""
        return self._submit(operation, undo=_nothing)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Do work that only reads, off the event loop. Raises StoreError."""
        return off_the_loop(lambda: self._database.read(work), self._database.blocks)

    def maintain(self) -> None:
        """Do what the database needs now and then, and try again what is owed; where the last transaction failed, find
        out whether one works again. Raises StoreError, LedgerUnavailable."""
        self.open()
        self._commit.retry()
        try:
            off_the_loop(self._database.maintain, self._database.blocks)  # first: it may be what makes room
        finally:
            if not self._works:
                self.write(_nothing)

    def open(self) -> None:
        """Be ready to write in this process; called again, it does nothing. Raises LedgerUnavailable."""
        if self._process == process.number:
            return
        with self._opening:
            if self._process == process.number:
                return
            try:
                self._owner = self._owners.claim()
            except StoreError as error:
                raise LedgerUnavailable(detail=str(error)) from error
            self._commit = GroupCommit(self._database, _PATIENCE, self._committed)
            self._process = process.number

    def close(self) -> None:
        """Write down what is owed, and be no owner any more. What cannot be written is settled as of a dead worker."""
        if self._process == process.number:
            with suppress(StoreError):
                self._commit.submit(self._owners.release, _nothing, _LAST_PATIENCE)
            self._commit.close(_LAST_PATIENCE)
            self._process = 0

    def _committed(self, seconds: float | None) -> None:
        self._works = seconds is not None
        if self._works and self._complained:
            log.warning("the ledger can be written again")
            self._complained = False
        self._told(seconds)

    def _hold(self, claim: Claim) -> Bound:
        def undo(tx: Transaction) -> None:
            ending = {"error_code": LedgerUnavailable.code}
            if tx.run("hold", call=claim.call_id, number=claim.attempt):  # else its commit, which was in doubt, failed
                entries.settle(tx, claim.call_id, claim.attempt, self._clock(), _NOTHING, 0, ending)

        def hold(tx: Transaction) -> Bound:
            self._owners.keep(tx)
            return entries.hold(tx, claim, self._clock())

        try:
            bound: Bound = self._submit(hold, undo)
        except Unbounded as unbounded:
            raise unbounded.error from None
        return bound

    def _expire(self, owner: str, tx: Transaction) -> int:
        if not self._owners.is_gone(tx, owner):
            return 0
        self._owners.forget(tx, owner)
        return entries.expire(tx, owner, self._clock())

    def _submit(self, operation: Operation, undo: Operation | None = None, patience: float | None = None) -> Any:
        self.open()
        try:
            return self._commit.submit(operation, undo, patience)
        except StoreError as error:
            raise self._unavailable(error) from error

    def _settlement(
        self, call_id: str, attempt: int, usage: Usage, cost: int | None, ending: Mapping[str, Any]
    ) -> Operation:
        return lambda tx: entries.settle(tx, call_id, attempt, self._clock(), usage, cost, ending)

    def _unavailable(self, error: StoreError) -> LedgerUnavailable:
        if not self._complained:
            log.error("the ledger cannot be written, and calls are refused until it can: %s", error)
            self._complained = True
        return LedgerUnavailable(detail=str(error))
