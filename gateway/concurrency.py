"""The one place that knows whether threads are gevent's greenlets, which take turns only where they wait."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")

_TURNS = 20  # a look-up, a connection, a password, a command, an answer; and some


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


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do work that waits for others, for `seconds` at most of their time. Threads keep to a socket's time-outs, which
    hold there. Of greenlets a busy process gives each its turn late, and that is nobody's fault: once the time is
    over, the work still gets as many turns as it could need if all it waits for had come already.

    Raises:
        Expired: the time is over.
    """
    if not cooperative():
        return work()
    import gevent

    outcome: list[tuple[T | None, Exception | None]] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except Exception as error:  # noqa: BLE001 - raised below: gevent would print what leaves a greenlet
            outcome.append((None, error))

    greenlet = gevent.spawn(run)
    greenlet.join(seconds)
    for _ in range(_TURNS):
        if outcome:
            break
        give_way()
    if not outcome:
        greenlet.kill(block=False)
        raise Expired
    result, error = outcome[0]
    if error:
        raise error
    return cast(T, result)


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
