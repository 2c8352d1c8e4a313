"""LMDB: transactions between all processes of a host, without a server, and whole after any of them is killed.

Nothing is synced to the disk, which only the end of the system could lose: so each boot has a directory of its own.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import lmdb

from gateway.stores import StoreError

T = TypeVar("T")
Transaction = lmdb.Transaction

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MOST_PROCESSES = 1024
_CHECK_EVERY = 60.0  # seconds between two looks for readers that were killed, whose pages would never be free

_environments: dict[Path, Environment] = {}


def open_environment(data_dir: Path, name: str, size: int, databases: tuple[str, ...]) -> Environment:
    """Open, or make, an environment; LMDB allows one of a directory in a process, and none from before a fork.

    Args:
        data_dir: the directory of all embedded state; made if it is not there.
        name: the environment's name in it.
        size: bytes that it may take at most.
        databases: the names of its databases.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        boot = _BOOT.read_text(encoding="ascii").strip()
        path = data_dir.resolve() / f"{name}-{boot}"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for earlier in path.parent.glob(f"{name}-*"):
            if earlier != path:
                shutil.rmtree(earlier, ignore_errors=True)
        if path not in _environments:
            _environments[path] = Environment(path, size, databases)
        return _environments[path]
    except (OSError, lmdb.Error) as error:
        raise StoreError(f"{name} cannot be opened in {data_dir}: {error}") from error


class Environment:
    """One environment.

    Args:
        path: its directory.
        size: bytes that it may take at most.
        databases: the names of its databases.

    Raises:
        lmdb.Error: it cannot be opened.
    """

    def __init__(self, path: Path, size: int, databases: tuple[str, ...]) -> None:
        self._env = lmdb.open(
            str(path), map_size=size, max_dbs=len(databases), max_readers=_MOST_PROCESSES, sync=False, mode=0o600
        )
        self.databases = {name: self._env.open_db(name.encode()) for name in databases}
        self._checked = 0.0

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction that waits for nobody. Raises StoreError."""
        return self._run(work, write=False)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction that waits for other writers, all or nothing of it.

        Raises:
            Full: there is no room; what killed readers held on to is free again for the next try.
            StoreError: anything else.
        """
        if time.monotonic() - self._checked > _CHECK_EVERY:
            self._checked = time.monotonic()
            self._env.reader_check()
        return self._run(work, write=True)

    def _run(self, work: Callable[[Transaction], T], write: bool) -> T:
        try:
            with self._env.begin(write=write) as transaction:
                return work(transaction)
        except lmdb.MapFullError as error:
            self._env.reader_check()
            raise Full("the environment is full") from error
        except lmdb.Error as error:
            raise StoreError(str(error)) from error


class Full(StoreError):
    """There is no room in the environment."""
