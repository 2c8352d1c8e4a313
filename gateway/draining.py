"""The mark that the service is about to stop: one byte of memory that the master shares with its workers over fork."""

import mmap

_mark = mmap.mmap(-1, 1)


def begin() -> None:
    """Mark it: readiness answers 503 from now on, in every worker."""
    _mark[0] = 1


def begun() -> bool:
    return _mark[0] == 1
