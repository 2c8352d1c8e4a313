"""The one place that knows whether threads are gevent's greenlets, which take turns only where they wait."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, Protocol, TypeVar, cast

T = TypeVar("T")

log = logging.getLogger(__name__)

_TURNS = 20  # a look-up, a connection, a password, a command, an answer; and some
_LARGE, _TURNS_BETWEEN = 100_000, 5  # bytes that take a millisecond; in so many turns a small call is answered
_ACCEPTED = 4  # with 1 a newcomer to 32 busy ones waits half a second; with 16 a flood gets two thirds of the time
_LOOK = 0.5  # seconds between two looks at a client that has sent more and cannot be waited for


def cooperative() -> bool:
    """Whether this process runs greenlets instead of threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def give_way() -> None:
    """Let others have their turn: to call in any loop whose length a stranger decides."""
    time.sleep(0)


def in_turn(size: int, work: Callable[[], T]) -> T:
    """Do work on `size` bytes; where that takes long, only one does so between some turns of all others."""
    if size < _LARGE:
        return work()
    with _turn():
        try:
            return work()
        finally:
            for _ in range(_TURNS_BETWEEN):
                give_way()


@cache
def _turn() -> threading.Lock:
    """Made where it is used: before, threads are not greenlets yet."""
    return threading.Lock()


def accept_in_turn() -> None:
    """Have gevent's servers take a few new connections between two turns of those that they have, and not a hundred:
    in a flood these would leave no time to answer any. The kernel keeps the others waiting, which costs nothing."""
    from gevent.server import StreamServer

    StreamServer.max_accept = _ACCEPTED


def off_the_loop(work: Callable[[], T], blocks: bool = True) -> T:
    """Run native code that takes long, and nothing that gevent patches, where it holds nobody up. What `blocks` not,
    but waits as greenlets do, is run where it is asked for."""
    if not (blocks and cooperative()):
        return work()
    import gevent

    return _in_pool(gevent.get_hub().threadpool, work)


def _in_pool(pool: Any, work: Callable[[], T]) -> T:
    """What `work` returns or raises in a thread of `pool`, which would print what it is raised."""

    def outcome() -> tuple[T | None, BaseException | None]:
        try:
            return work(), None
        except BaseException as error:  # noqa: BLE001 - raised below, where it is waited for
            return None, error

    result, error = pool.apply(outcome)
    if error:
        raise error
    return cast(T, result)


class Event(Protocol):
    """What one waits for until another one has set it."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


def event() -> Event:
    """One for threads, or where greenlets serve for those, which costs a tenth of what gevent makes of the other."""
    if not cooperative():
        return threading.Event()
    from gevent.event import Event as GreenletsEvent

    return cast(Event, GreenletsEvent())


class Lane:
    """A native thread for one piece of work after the other, beside the event loop; where threads serve, or for what
    `blocks` not, the caller's own will do. The work touches nothing that gevent patches."""

    def __init__(self, blocks: bool = True) -> None:
        self._pool: Any = None
        if blocks and cooperative():
            from gevent.threadpool import ThreadPool

            self._pool = ThreadPool(1)

    @property
    def beside(self) -> bool:
        """Whether work is done in another thread, which costs more than most of what is done there."""
        return self._pool is not None

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises what it raises."""
        return work() if self._pool is None else _in_pool(self._pool, work)  # an idle pool is false


class Task(Generic[T]):
    """Work that goes on beside the caller's own, in a greenlet or a thread.

    Args:
        work: what to do.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._outcome: list[tuple[T | None, Exception | None]] = []
        if cooperative():
            import gevent

            self._runner: Any = gevent.spawn(self._run)
        else:
            self._runner = threading.Thread(target=self._run, daemon=True)
            self._runner.start()

    def _run(self) -> None:
        try:
            self._outcome.append((self._work(), None))
        except Exception as error:  # noqa: BLE001 - raised by `result`: gevent and threading would print it
            self._outcome.append((None, error))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end, for `seconds` at most; whether it has come."""
        self._runner.join(seconds)
        return bool(self._outcome)

    def result(self) -> T:
        """What the work, which has ended, brought. Raises what it raised."""
        result, error = self._outcome[0]
        if error:
            raise error
        return cast(T, result)

    def abandon(self) -> None:
        """Stop a greenlet where it waits; a thread goes on."""
        if cooperative():
            self._runner.kill(block=False)


def every(seconds: float, work: Callable[[], object]) -> None:
    """Do work again and again beside the caller's own, with pauses, until this process ends. What it raises is told."""

    def run() -> None:
        while True:
            try:
                work()
            except Exception as crash:
                log.error("what is done every %g s failed", seconds, exc_info=crash)
            time.sleep(seconds)

    threading.Thread(target=run, daemon=True).start()


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do work that waits for others, for `seconds` at most of their time. Threads keep to a socket's time-outs, which
    hold there. Of greenlets a busy process gives each its turn late, and that is nobody's fault: once the time is
    over, the work still gets as many turns as it could need if all it waits for had come already.

    Raises:
        Expired: the time is over.
    """
    if not cooperative():
        return work()
    task = Task(work)
    done = task.wait(seconds)
    for _ in range(_TURNS):
        if done:
            return task.result()
        give_way()
        done = task.wait(0)
    task.abandon()
    raise Expired


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


class HungUp(Exception):
    """The other end of a connection has closed it. No OSError, for the same reason."""


class HasFile(Protocol):
    """What the system can wait for."""

    def fileno(self) -> int: ...


class Bell:
    """Wakes one that waits until it has something to read; from any thread, and without waiting."""

    def __init__(self) -> None:
        self._file = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._file

    def ring(self) -> None:
        os.eventfd_write(self._file, 1)

    def close(self) -> None:
        os.close(self._file)


def wait(seconds: float, client: socket.socket | None, readable: HasFile | None = None) -> None:
    """Wait until `readable` has something to read, for `seconds` at most.

    Args:
        seconds: how long.
        client: a connection that nothing more is expected from, if there is any.
        readable: what is waited for; None just waits.

    Raises:
        HungUp: `client` has been closed by its other end.
    """
    until, talkative = time.monotonic() + seconds, False
    if client is not None and hung_up(client):
        raise HungUp
    while (left := until - time.monotonic()) > 0:
        poll = select.poll()
        if readable is not None:
            poll.register(readable, select.POLLIN)
        if client is not None and not talkative:
            poll.register(client, select.POLLIN | select.POLLRDHUP)
        ready = [fd for fd, _ in poll.poll(1000 * (min(left, _LOOK) if talkative else left))]
        if client is not None and hung_up(client):
            raise HungUp
        if readable is not None and readable.fileno() in ready:
            return
        talkative = bool(ready) or talkative  # it has sent its next request, or says goodbye in TLS


def hung_up(client: socket.socket | int) -> bool:
    """Whether the other end has closed the connection, or its side of it. A client that is still there may be silent
    or have sent more."""
    poll = _system_poll(cooperative())()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


def silence(connection: socket.socket) -> Callable[[], bool]:
    """What to ask, as long as this process has a connection open, whether its other end has too and says nothing."""
    poll = _system_poll(cooperative())()
    poll.register(connection, select.POLLIN | select.POLLRDHUP)
    return lambda: not poll.poll(0)


@cache
def _system_poll(greenlets: bool) -> Callable[[], Any]:
    """The system's own poll: gevent's does not tell the end of a connection from bytes that wait."""
    if not greenlets:
        return select.poll
    from gevent.monkey import get_original

    return cast(Callable[[], Any], get_original("select", "poll"))
