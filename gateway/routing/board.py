"""What the workers tell each other of targets: cells as this process last saw them, so that looking costs nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from gateway.stores.cells import Change

SECOND = 1_000_000_000  # nanoseconds


class SureCells(Protocol):
    """Cells that raise nothing."""

    def read(self, names: list[str]) -> tuple[int, list[bytes]]: ...

    def change(self, name: str, change: Change) -> tuple[int, bytes]: ...


class Board:
    """What this process last saw of cells.

    Args:
        cells: where they are.
    """

    def __init__(self, cells: SureCells) -> None:
        self._cells = cells
        self._seen: dict[str, bytes] = {}
        self._ahead = 0  # nanoseconds of the cells' clock before this process's
        self._before_looking: list[Callable[[], None]] = []

    def now(self) -> int:
        """Nanoseconds of the cells' clock."""
        return time.monotonic_ns() + self._ahead

    def get(self, name: str) -> bytes:
        """What a cell held at the last look."""
        return self._seen.setdefault(name, b"")

    def change(self, name: str, change: Change) -> bytes:
        """Change a cell as it is now; what it holds then."""
        now, content = self._cells.change(name, change)
        self._saw(now)
        self._seen[name] = content
        return content

    def before_looking(self, work: Callable[[], None]) -> None:
        """Have `work` done before every look."""
        self._before_looking.append(work)

    def look(self) -> None:
        """See what others have changed; to be called several times a second."""
        for work in self._before_looking:
            work()
        names = list(self._seen)
        now, contents = self._cells.read(names)
        self._saw(now)
        self._seen.update(zip(names, contents, strict=True))

    def _saw(self, now: int) -> None:
        self._ahead = now - time.monotonic_ns()
