"""Cells that always answer: those that are shared, and this process's own for as long as the others are away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.stores import StoreError
from gateway.stores.cells import Cells, Change
from gateway.stores.cells.local import LocalCells

log = logging.getLogger(__name__)
T = TypeVar("T")

_SHORTEST, _LONGEST = 0.5, 5.0  # seconds without the shared ones; doubled by every failure in a row


class FailoverCells:
    """Cells that raise nothing but what a change raises itself.

    Each of the two has its own contents and its own clock, and they are never mixed: the time that is given to a change
    or told with contents is that of the cells which hold them. Who compares it with another one may compare only what
    came in the same answer. Where an answer was lost, a change may be made in both.

    Args:
        shared: what is asked as long as it works.
        failed: is told of every failure.
    """

    def __init__(self, shared: Cells, failed: Callable[[], None]) -> None:
        self._shared = shared
        self._failed = failed
        self._local = LocalCells()
        self._lock = threading.Lock()  # never held while anything is waited for
        self._pause = 0.0  # 0 while the shared ones work
        self._next_try = 0.0

    def read(self, names: Sequence[str]) -> tuple[int, list[bytes]]:
        return self._do(lambda cells: cells.read(names))

    def change(self, name: str, change: Change) -> tuple[int, bytes]:
        return self._do(lambda cells: cells.change(name, change))

    def _do(self, work: Callable[[Cells], T]) -> T:
        with self._lock:
            before, now = self._pause, time.monotonic()
            asked = not before or now >= self._next_try
            if before and asked:
                self._next_try = now + before  # nobody else finds out meanwhile
        if not asked:
            return work(self._local)
        try:
            result = work(self._shared)
        except StoreError as error:
            self._lost(error, before)
            return work(self._local)
        if before:
            self._found()
        return result

    def _lost(self, error: StoreError, before: float) -> None:
        """Do without the shared ones for a while; many calls that fail at once are one failure in a row."""
        with self._lock:
            if self._pause == before:
                self._pause = min(_LONGEST, max(_SHORTEST, 2 * before))
                self._next_try = time.monotonic() + self._pause
                if not before:
                    log.warning("the shared cells do not work, each process has its own: %s", error)
        self._failed()

    def _found(self) -> None:
        with self._lock:
            self._pause, self._local = 0.0, LocalCells()  # what they say is of this outage
        log.info("the shared cells work again")
