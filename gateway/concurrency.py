"""The one place that knows whether threads are gevent's greenlets, which take turns only where they wait."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_WAITING = 2  # threads that work without end may hold up; the pool is used by nothing else


def cooperative() -> bool:
    """Whether this process runs greenlets instead of threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def give_way() -> None:
    """Let others have their turn: to call in any loop whose length a stranger decides."""
    time.sleep(0)


def off_the_loop(work: Callable[[], T]) -> T:
    """Run native code that takes long, and nothing that gevent patches, where it holds nobody up."""
    if not cooperative():
        return work()
    import gevent

    result: T = gevent.get_hub().threadpool.apply(work)
    return result


def off_the_loop_within(seconds: float, work: Callable[[], T]) -> T:
    """Like `off_the_loop`, for work that may never come back, such as the wait for another process's lock.

    Raises:
        Expired: the time is over; the work goes on by itself.
    """
    if cooperative():
        with at_most(seconds):
            result: T = _greenlets_threads().apply(work)
            return result
    try:
        return _threads().submit(work).result(seconds)
    except TimeoutError:
        raise Expired from None


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MOST_WAITING)


@functools.cache
def _greenlets_threads() -> Any:
    from gevent.threadpool import ThreadPool

    return ThreadPool(_MOST_WAITING)


class Expired(Exception):
    """The time of a block is over. No OSError, since libraries take those for a failure that they can go on after."""


def at_most(seconds: float) -> contextlib.AbstractContextManager[object]:
    """A block that ends with Expired after `seconds`, for greenlets: gevent's TLS restarts a socket's time-out with
    every read. Threads keep to the socket's, which holds there."""
    if not cooperative():
        return contextlib.nullcontext()
    import gevent

    block: contextlib.AbstractContextManager[object] = gevent.Timeout(seconds, Expired())
    return block
