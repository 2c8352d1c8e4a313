"""LMDB: transactions between all processes of a host, without a server, and whole after any of them is killed.

Nothing is synced to the disk, which only the end of the system could lose: so each boot has a directory of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

import lmdb

from gateway.stores import StoreError

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_MOST_PROCESSES = 1024
_LOCK_BYTES = 2**17  # 64 for each process, and LMDB's header
_PAUSE = 0.001  # seconds between two looks whether others have finished
_FEWEST_TRIES = 10  # in a busy process each look comes late
_CHECK_EVERY = 60.0  # seconds between two looks for readers that were killed, whose pages would never be free

_environments: dict[Path, Environment] = {}


def open_environment(data_dir: Path, name: str, size: int, databases: tuple[str, ...], patience: float) -> Environment:
    """Open, or make, an environment; LMDB allows one of a directory in a process, and none from before a fork.

    Args:
        data_dir: the directory of all embedded state; made if it is not there.
        name: the environment's name in it.
        size: bytes that it may take at most.
        databases: the names of its databases.
        patience: seconds that a writer waits for the others.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path = _path(data_dir, name)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for earlier in path.parent.glob(f"{name}-*"):
            if earlier != path:
                shutil.rmtree(earlier, ignore_errors=True)
        if path not in _environments:
            _environments[path] = Environment(path, size, databases, patience)
        return _environments[path]
    except (OSError, lmdb.Error) as error:
        raise StoreError(f"{name} cannot be opened in {data_dir}: {error}") from error


def peek(data_dir: Path, name: str, size: int, work: Callable[[Transaction], T]) -> T | None:
    """Read an environment without making or deleting anything, as a command should, whoever runs it.

    Args:
        data_dir, name, size: as of `open_environment`; it has no named databases.
        work: what to do in a transaction.

    Returns:
        What `work` does; None where there is no environment.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        path = _path(data_dir, name)
        if path in _environments:
            return _environments[path].read(work)
        if not (path / "data.mdb").exists():
            return None
        with (
            lmdb.open(str(path), map_size=size, readonly=True, create=False, max_readers=_MOST_PROCESSES) as env,
            env.begin() as transaction,
        ):
            return work(transaction)
    except (OSError, lmdb.Error) as error:
        raise StoreError(f"{name} cannot be read in {data_dir}: {error}") from error


def _path(data_dir: Path, name: str) -> Path:
    return data_dir.resolve() / f"{name}-{_BOOT.read_text(encoding='ascii').strip()}"


class Environment:
    """One environment.

    Args:
        path: its directory.
        size: bytes that it may take at most.
        databases: the names of its databases.
        patience: seconds that a writer waits for the others.

    Raises:
        lmdb.Error, OSError, StoreError: it cannot be opened.
    """

    def __init__(self, path: Path, size: int, databases: tuple[str, ...], patience: float) -> None:
        self._checked = 0.0
        self._patience = patience
        self._threads = threading.Lock()
        self._gave_up = 0.0
        self._processes = os.open(path / "writer", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            self._alone(lambda: self._open(path, size, databases))
        except BaseException:
            os.close(self._processes)
            raise

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction that waits for nobody. Raises StoreError."""
        return self._run(work, write=False)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction, all or nothing of it, and one writer at a time. It must wait for nothing.

        Raises:
            Full: there is no room; what killed readers held on to is free again for the next try.
            StoreError: anything else, or the others took too long.
        """
        if time.monotonic() - self._checked > _CHECK_EVERY:
            self._checked = time.monotonic()
            self._env.reader_check()
        return self._alone(lambda: self._run(work, write=True))

    def _open(self, path: Path, size: int, databases: tuple[str, ...]) -> None:
        _allocate(path / "lock.mdb")
        self._env = lmdb.open(
            str(path), map_size=size, max_dbs=len(databases), max_readers=_MOST_PROCESSES, sync=False, mode=0o600
        )
        self.databases = {name: self._env.open_db(name.encode()) for name in databases}

    def _alone(self, work: Callable[[], T]) -> T:
        """Do `work` as the only writer. LMDB's own wait would stop an event loop, without end where the other one is
        stopped."""
        asked = time.monotonic()
        with self._threads:  # waits for threads of this process only, and those wait no longer than this one would
            if not _locked(self._processes):
                self._wait(asked)
            try:
                return work()
            finally:
                fcntl.flock(self._processes, fcntl.LOCK_UN)

    def _wait(self, asked: float) -> None:
        """Wait for the turn that others have; since `asked` this one wants it. Raises StoreError."""
        until, tries = time.monotonic() + self._patience, 0
        while True:
            tries += 1
            if self._gave_up > asked or (tries > _FEWEST_TRIES and time.monotonic() > until):
                self._gave_up = time.monotonic()
                raise StoreError("another process writes for too long")
            time.sleep(_PAUSE)
            if _locked(self._processes):
                return

    def _run(self, work: Callable[[Transaction], T], write: bool) -> T:
        try:
            with self._env.begin(write=write) as transaction:
                return work(transaction)
        except lmdb.MapFullError as error:
            self._env.reader_check()
            raise Full("the environment is full") from error
        except lmdb.Error as error:
            raise StoreError(str(error)) from error


def _allocate(file: Path) -> None:
    """Make LMDB's lock file in full size: it is mapped, and a page that a full disk has no room for would kill."""
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if os.fstat(descriptor).st_size == 0:
            os.posix_fallocate(descriptor, 0, _LOCK_BYTES)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Full(StoreError):
    """There is no room in the environment."""
