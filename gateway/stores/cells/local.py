"""Cells of this process alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from gateway.stores.cells import Change


class LocalCells:
    """Cells in memory.

    Args:
        clock: nanoseconds of a clock that nobody can set.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cells: dict[str, bytes] = {}

    def read(self, names: Sequence[str]) -> tuple[int, list[bytes]]:
        with self._lock:
            return self._clock(), [self._cells.get(name, b"") for name in names]

    def change(self, name: str, change: Change) -> tuple[int, bytes]:
        with self._lock:
            now = self._clock()
            content = change(self._cells.get(name, b""), now)
            if content:
                self._cells[name] = content
            else:
                self._cells.pop(name, None)
            return now, content
