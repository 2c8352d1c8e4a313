"""Group commit: one writer takes all that waits into one transaction and answers each, off the event loop."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.concurrency import Lane
from gateway.stores import StoreError
from gateway.stores.ledger import Database, InDoubt, Operation, Outcome

log = logging.getLogger(__name__)

_MOST = 512  # operations of one transaction, so that other processes get their turn


class _Ticket:
    """An operation in the queue, and what came of it."""

    __slots__ = ("decided", "done", "operation", "outcome", "undo")

    def __init__(self, operation: Operation, undo: Operation | None) -> None:
        self.operation = operation
        self.undo = undo
        self.done = threading.Event()
        self.outcome = Outcome()
        self.decided = threading.Lock()  # for ever, by whoever is first: the caller who gives up, or the outcome


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
        self._wake = threading.Event()
        self._began: float | None = None  # monotonic seconds, of the transaction under way
        self._lane = Lane(database.blocks)
        self._closing = False
        self._writer = threading.Thread(target=self._run, daemon=True, name="ledger")
        self._writer.start()

    def submit(self, operation: Operation, undo: Operation | None = None, patience: float | None = None) -> Any:
        """Have an operation committed.

        Args:
            operation: what to do in a transaction; it runs beside the event loop.
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
            if self._stands_still(patience) and ticket.decided.acquire(blocking=False):
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
                if not (ticket.undo and ticket.decided.locked()):
                    batch.append(ticket)
            if batch:
                self._commit(batch)

    def _commit(self, batch: list[_Ticket]) -> None:
        started = self._began = time.monotonic()
        try:
            outcomes = self._lane.run(lambda: self._transact(batch))
        except Exception as error:  # noqa: BLE001 - raised by `submit`; whatever it is, the writer goes on
            outcomes = [Outcome(error=error)] * len(batch)
        failed = all(isinstance(outcome.error, StoreError) for outcome in outcomes)
        self._tell(None if failed else time.monotonic() - started)
        for ticket, outcome in zip(batch, outcomes, strict=True):
            ticket.outcome = outcome
            in_time = ticket.decided.acquire(blocking=False)
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

    def _transact(self, batch: list[_Ticket]) -> list[Outcome]:
        """Commit; beside the event loop, which may be told of the end much later."""
        try:
            return self._database.transact([ticket.operation for ticket in batch])
        finally:
            self._began = None
