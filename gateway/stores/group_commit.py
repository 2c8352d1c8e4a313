"""Group commit: one writer takes all that waits into one transaction and answers each.

What nobody waits for waits for company: most of it shares a transaction with what comes next. A transaction of a local
file takes tens of microseconds, and to have another thread do it as many again: so it is done where the event loop is,
but beside it where it would have to wait, or the disk is slow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.concurrency import Lane, event
from gateway.stores import StoreError
from gateway.stores.ledger import Database, InDoubt, Operation, Outcome

T = TypeVar("T")

log = logging.getLogger(__name__)

_MOST = 512  # operations of one transaction that are waited for, and others, so that other processes get their turn
_LINGER = 0.005  # seconds that what nobody waits for waits for others
_SLOW = 0.05  # seconds of a transaction after which the next ones are not to stop the event loop
_WHILE = 1.0  # seconds that this holds for


class _Ticket:
    """An operation in the queue."""

    __slots__ = ("_undecided", "is_owed", "operation", "tell", "undo")

    def __init__(self, operation: Operation, undo: Operation | None, tell: Callable[[Outcome], None]) -> None:
        self.operation = operation
        self.undo = undo
        self.tell = tell
        self.is_owed = False
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


def _to_nobody(outcome: Outcome) -> None:
    """Tell nobody."""


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
        self._posted: deque[_Ticket] = deque()
        self._owed: list[_Ticket] = []
        self._wake = event()
        self._idle = False
        self._began: float | None = None  # monotonic seconds, of the transaction under way
        self._lane = Lane(database.blocks)
        self._slow_until = 0.0  # monotonic seconds
        self._closing = self._ended = False
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
        done, outcomes = event(), list[Outcome]()

        def tell(outcome: Outcome) -> None:
            outcomes.append(outcome)
            done.set()

        ticket = _Ticket(operation, undo, tell)
        self._waiting.append(ticket)
        self._wake.set()
        while not done.wait(patience):
            if self._stands_still(patience) and ticket.decide():
                raise StoreError(f"nothing was committed for {patience:g} s")
        if outcomes[0].error:
            raise outcomes[0].error
        return outcomes[0].result

    def post(self, operation: Operation, tell: Callable[[Outcome], None]) -> None:
        """Have an operation committed that nobody waits for: within milliseconds, before what is submitted later. It is
        owed.

        Args:
            operation: what to do in a transaction.
            tell: is told what came of it, where the writer is; of one that failed as the database did, once more when
                that is over.
        """
        self._posted.append(_Ticket(operation, None, tell))
        if self._idle:
            self._wake.set()

    def _stands_still(self, patience: float) -> bool:
        """Whether one transaction has taken all of a caller's patience. A busy process may be late to begin the next
        and late to tell what came of the last, and then those who wait are served as soon as it can."""
        began = self._began
        return self._ended or (began is not None and time.monotonic() - began >= patience)

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
        try:
            self._write()
        finally:
            self._ended = True

    def _write(self) -> None:
        while not self._closing or self._waiting or self._posted:
            self._gather()
            batch, self._owed = self._owed, []
            for queue in (self._posted, self._waiting):  # also where much is owed: they are not to wait for it
                for _ in range(min(len(queue), _MOST)):
                    ticket = queue.popleft()
                    if not ticket.given_up:
                        batch.append(ticket)
            if batch:
                self._commit(batch)

    def _gather(self) -> None:
        """Wait until there is something to do."""
        self._idle = True  # before the look at what is posted: whoever posts looks at this after it
        if not (self._waiting or self._posted):
            self._wake.wait()
        self._idle = False
        self._wake.clear()
        if self._posted and not (self._waiting or self._closing):
            self._wake.wait(_LINGER)
            self._wake.clear()

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
        self._tell(self._committed, None if failed else seconds)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            in_time = ticket.decide()
            if ticket.undo is None and isinstance(outcome.error, StoreError):
                self._owed.append(ticket)
                if ticket.is_owed:
                    continue  # it was told so
                ticket.is_owed = True
            elif ticket.undo and (isinstance(outcome.error, InDoubt) or not (in_time or outcome.error)):
                self._waiting.append(_Ticket(ticket.undo, None, _to_nobody))
            self._tell(ticket.tell, outcome)

    def _tell(self, told: Callable[[T], None], what: T) -> None:
        try:
            told(what)
        except Exception as crash:  # it must not end the writer
            log.error("what came of a transaction of the ledger could not be told", exc_info=crash)

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
