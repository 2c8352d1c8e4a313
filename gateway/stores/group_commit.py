"""Group commit: one writer takes all that waits into one transaction and answers each.

A transaction of a local file takes tens of microseconds, and to have another thread do it as many again: so it is done
where the event loop is, but beside it where it would have to wait, or the disk is slow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.concurrency import Event, Lane, event
from gateway.stores import StoreError
from gateway.stores.ledger import Database, InDoubt, Operation, Outcome

log = logging.getLogger(__name__)

_MOST = 512  # operations of one transaction, so that other processes get their turn
_SLOW = 0.05  # seconds of a transaction after which the next ones are not to stop the event loop
_WHILE = 1.0  # seconds that this holds for


class _Ticket:
    """An operation in the queue, and what came of it."""

    __slots__ = ("_undecided", "done", "operation", "outcome", "undo")

    def __init__(self, operation: Operation, undo: Operation | None) -> None:
        self.operation = operation
        self.undo = undo
        self.done: Event = event()
        self.outcome = Outcome()
        self._undecided = [self]

    def decide(self) -> bool:
        """Whether this is the first time: either the caller gives up, or there is an outcome."""
        try:
            self._undecided.pop()  # by one thread alone
        except IndexError:
            return False
        return True

    @property
    def given_up(self) -> bool:
        return bool(self.undo) and not self._undecided


class GroupCommit:
    """Commits what many callers ask for.

    Args:
        database: where to.
        patience: seconds that a caller waits.
        committed: is told how many seconds each transaction took, or None where it failed.
    """

    def __init__(self, database: Database, patience: float, committed: Callable[[float | None], None]) -> None:
        self._database = database
        self._patience = patience
        self._committed = committed
        self._waiting: deque[_Ticket] = deque()
        self._owed: list[_Ticket] = []
        self._wake = event()
        self._began: float | None = None  # monotonic seconds, of the transaction under way
        self._lane = Lane(database.blocks)
        self._slow_until = 0.0  # monotonic seconds
        self._closing = False
        self._writer = threading.Thread(target=self._run, daemon=True, name="ledger")
        self._writer.start()

    def submit(self, operation: Operation, undo: Operation | None = None, patience: float | None = None) -> Any:
        """Have an operation committed.

        Args:
            operation: what to do in a transaction; it may run beside the event loop.
            undo: what to do where it is committed after its caller has given up, or may be and nobody knows. Without
                one the operation is owed: it is tried until it is committed, whether or not its caller still waits.
            patience: seconds that this caller waits.

        Returns:
            What the operation returned.

        Raises:
            StoreError: it has not been committed in time.
            Exception: what the operation raised.
        """
        if undo and self._stands_still(self._patience):
            raise StoreError(f"nothing has been committed for {self._patience:g} s")
        patience = patience or self._patience
        ticket = _Ticket(operation, undo)
        self._waiting.append(ticket)
        self._wake.set()
        while not ticket.done.wait(patience):
            if self._stands_still(patience) and ticket.decide():
                raise StoreError(f"nothing was committed for {patience:g} s")
        if ticket.outcome.error:
            raise ticket.outcome.error
        return ticket.outcome.result

    def _stands_still(self, patience: float) -> bool:
        """Whether one transaction has taken all of a caller's patience. A busy process may be late to begin the next
        and late to tell what came of the last, and then those who wait are served as soon as it can."""
        began = self._began
        return not self._writer.is_alive() or (began is not None and time.monotonic() - began >= patience)

    def retry(self) -> None:
        """Try again what is owed."""
        if self._owed:
            self._wake.set()

    def close(self, patience: float) -> None:
        """Commit what waits, for `patience` seconds at most, and stop."""
        self._closing = True
        self._wake.set()
        self._writer.join(patience)

    def _run(self) -> None:
        while not self._closing or self._waiting:
            if not self._waiting:
                self._wake.wait()
                self._wake.clear()
            batch, self._owed = self._owed, []
            for _ in range(min(len(self._waiting), _MOST)):  # also where much is owed: they are not to wait for it
                ticket = self._waiting.popleft()
                if not ticket.given_up:
                    batch.append(ticket)
            if batch:
                self._commit(batch)

    def _commit(self, batch: list[_Ticket]) -> None:
        started = self._began = time.monotonic()
        try:
            outcomes = self._transact([ticket.operation for ticket in batch])
        except Exception as error:  # noqa: BLE001 - raised by `submit`; whatever it is, the writer goes on
            outcomes = [Outcome(error=error)] * len(batch)
        finally:
            self._began = None
        failed, seconds = all(isinstance(outcome.error, StoreError) for outcome in outcomes), time.monotonic() - started
        if seconds > _SLOW:
            self._slow_until = time.monotonic() + _WHILE
        self._tell(None if failed else seconds)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.outcome = outcome
            in_time = ticket.decide()
            if ticket.undo is None and isinstance(outcome.error, StoreError):
                self._owed.append(ticket)
            elif ticket.undo and (isinstance(outcome.error, InDoubt) or not (in_time or outcome.error)):
                self._waiting.append(_Ticket(ticket.undo, None))
            ticket.done.set()

    def _tell(self, seconds: float | None) -> None:
        try:
            self._committed(seconds)
        except Exception as crash:  # it must not end the writer
            log.error("a transaction of the ledger could not be counted", exc_info=crash)

    def _transact(self, operations: list[Operation]) -> list[Outcome]:
        outcomes = None
        if self._lane.beside and time.monotonic() >= self._slow_until:
            outcomes = self._database.at_once(operations)
        return self._lane.run(lambda: self._beside(operations)) if outcomes is None else outcomes

    def _beside(self, operations: list[Operation]) -> list[Outcome]:
        """Commit beside the event loop, which may be told of the end much later."""
        try:
            return self._database.transact(operations)
        finally:
            self._began = None
