"""Cells of all workers of a host, in an LMDB environment of their own: a flood of counters takes no room from them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

from gateway.stores.cells import Change
from gateway.stores.embedded import Environment, Transaction, open_environment

_MAP = 2**21  # bytes of addresses
_USABLE = 0.5  # of them: past it all cells are forgotten, since what is full could not even be emptied
_PATIENCE = 0.25  # seconds that a writer waits for the others


class EmbeddedCells:
    """Cells in a directory of this host. Those that nobody needs any more stay until there are too many of them; then
    all are empty again.

    Args:
        data_dir: the directory of all embedded state.
        clock: nanoseconds of a clock that all processes of the host share and nobody can set.
    """

    def __init__(self, data_dir: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._opening = threading.Lock()  # by the first of many calls at once
        self._opened: Environment | None = None

    def read(self, names: Sequence[str]) -> tuple[int, list[bytes]]:
        keys = [_key(name) for name in names]

        def work(cells: Transaction) -> tuple[int, list[bytes]]:
            return self._clock(), [cells.get(key, b"") for key in keys]

        return self._env.read(work)

    def change(self, name: str, change: Change) -> tuple[int, bytes]:
        key = _key(name)

        def work(cells: Transaction) -> tuple[int, bytes]:
            now, held = self._clock(), cells.get(key, b"")
            content = change(held, now)
            if content != held:
                _put(cells, key, content)
            return now, content

        return self._env.write(work)

    @property
    def _env(self) -> Environment:
        """Opened in the worker, when first needed: an environment does not survive a fork."""
        if self._opened is None:
            with self._opening:
                self._opened = open_environment(self._data_dir, "cells", _MAP, (), _PATIENCE)
        return self._opened


def _key(name: str) -> bytes:
    """As long as LMDB takes it, however long the name."""
    return blake2b(name.encode(), digest_size=16).digest()


def _put(cells: Transaction, key: bytes, content: bytes) -> None:
    tree = cells.stat()
    pages: int = tree["leaf_pages"] + tree["branch_pages"] + tree["overflow_pages"]
    if pages * tree["psize"] > _USABLE * _MAP:
        cursor = cells.cursor()
        cursor.first()
        while cursor.delete():
            pass
    if content:
        cells.put(key, content)
    else:
        cells.delete(key)
