"""Where the workers' metrics live: files in memory, in a directory of this master's own, one set for each slot.

A worker takes the lowest free slot and goes on counting where the slot's last worker stopped. So totals stay exact
whatever happens to workers, and there are never more files than there were workers at once. prometheus_client reads
the directory's name when it is imported: `open_directory` comes first, and nothing here may import it earlier.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from gateway.concurrency import cooperative

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "llm-gateway-metrics-"
_LOCK = "lock"
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - what is below it is in a directory of our own
_SIZES = {"counter": 2**20, "histogram": 2**20, "gauge_livesum": 2**16, "gauge_max": 2**16}  # bytes

_directory: Path | None = None
_lock = -1  # the lock's descriptor: open in the master and, over fork, in all of its workers
_slot = "master"


def directory() -> Path | None:
    """This process's directory, or None where it has none."""
    return _directory


def open_directory() -> None:
    """Make this process's directory, and remove those whose masters and workers are all gone."""
    global _directory, _lock
    parent = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    hidden = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=parent))  # until its lock is held
    _lock = _lock_of(hidden)
    _directory = hidden.rename(parent / hidden.name[1:])
    os.environ[_VARIABLE] = str(_directory)


def _lock_of(directory: Path) -> int:
    """Lock the directory until no process has the descriptor open any more. Raises OSError where another has it."""
    descriptor = os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_if_left(directory: Path) -> None:
    try:
        descriptor = _lock_of(directory)
    except OSError:
        return  # in use, or another user's
    shutil.rmtree(directory, ignore_errors=True)
    os.close(descriptor)


def remove() -> None:
    """Remove this process's directory: for the master at its end, and for a worker that finds it dead."""
    if _directory:
        shutil.rmtree(_directory, ignore_errors=True)


def reserve(taken: Collection[int | None]) -> int | None:
    """Find the lowest free slot and make its files in full size: a page that is missing later would kill the worker.

    Args:
        taken: the slots of the workers that are alive.

    Returns:
        The slot, or None where there is no room for its files: its worker then counts for itself alone.
    """
    if not _directory:
        return None
    slot = next(number for number in range(len(taken) + 1) if number not in taken)
    try:
        _directory.mkdir(exist_ok=True)  # somebody may have tidied up, and without it no worker could boot
        for kind, size in _SIZES.items():
            _allocate(_directory / f"{kind}_{_owner(slot)}.db", size)
    except OSError:
        return None
    return slot


def _allocate(file: Path, size: int) -> None:
    if file.exists():
        return
    hidden = file.with_suffix(".new")  # until it is whole: a scrape that meets an empty one fails
    descriptor = os.open(hidden, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        hidden.rename(file)
    finally:
        os.close(descriptor)


def use(slot: int | None) -> None:
    """Let this process, a new worker, count in the files of `slot`."""
    global _slot
    from prometheus_client import values

    _slot = _owner(slot)
    if slot is None:
        values.ValueClass = values.MutexValue


def release(slot: int | None) -> None:
    """Forget what only a living worker counts, such as its requests in flight; its totals stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(_owner(slot))


def value_class() -> Any:
    """What prometheus_client is to keep its values in: this process's files. Greenlets take turns only where they wait,
    and need no lock to add."""
    from prometheus_client import values

    kept: Any = values.MultiProcessValue(lambda: _slot)
    if not cooperative():
        return kept

    class Value(kept):  # type: ignore[misc]
        def inc(self, amount: float) -> None:
            self._value += amount
            self._file.write_value(self._key, self._value, 0.0)

    return Value


def _owner(slot: int | None) -> str:
    return f"worker-{slot}"
