"""The one place that knows whether threads are gevent's greenlets, which take turns only where they wait."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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
