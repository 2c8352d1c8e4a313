"""Small pieces of state that several processes change: how targets fare, what is left for retries. One protocol, one
file a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Change = Callable[[bytes, int], bytes]  # what a cell is to hold, from what it holds (b"" at first) and now


class Cells(Protocol):
    """Where they are. Every method may wait for others, but for no longer than the store's patience, and raises
    StoreError where it could not be done. Time is the store's own, in nanoseconds, the same for all its processes."""

    def read(self, names: Sequence[str]) -> tuple[int, list[bytes]]:
        """Now, and what cells hold: b"" where nothing was ever put."""
        ...

    def change(self, name: str, change: Change) -> tuple[int, bytes]:
        """Change a cell, and nobody else at the same time. `change` may be called several times, and waits for
        nothing.

        Returns:
            When, and what the cell holds now.
        """
        ...
