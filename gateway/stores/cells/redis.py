"""Cells of several hosts, on one Redis. A change holds no other process up: it is made again where another one came
first. Those that this process's callers want at once are made as one: a hundred that all try again would starve."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import count

from redis import Redis

from gateway.config import Secret
from gateway.stores import StoreError
from gateway.stores.cells import Change
from gateway.stores.redis import RedisServer, evaluate

_SECONDS = 0.25  # that an operation may take; a busy process must not take itself for a slow server
_PREFIX = "llm-gateway:{cells}:"  # the braces keep all of it on one node
_FEWEST_TRIES = 3  # in a busy process each answer comes late
_TURNS = 64  # of cells that are changed at once

# Keys: cells. Answer: microseconds, and what each holds.
_READ = """
local time = redis.call('TIME')
local answer = {time[1] * 1000000 + time[2]}
for i, key in ipairs(KEYS) do answer[i + 1] = redis.call('GET', key) or '' end
return answer
"""

# Key: a cell. Arguments: what it held, and what it is to hold. Answer: microseconds, and what it held really: where
# that is something else, it still does. An hour later whatever nobody changes is forgotten.
_EXCHANGE = """
local time, held = redis.call('TIME'), redis.call('GET', KEYS[1]) or ''
if held == ARGV[1] then
    if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'EX', 3600) end
end
return {time[1] * 1000000 + time[2], held}
"""


class RedisCells:
    """Cells on a server. Its clock may be put back, or jump: whoever stores a time must bear to find it in the future.
    What nobody has changed for an hour is forgotten, as is everything where Redis loses it.

    Args:
        url: where it is.

    Raises:
        StoreError: the address cannot be used.
    """

    def __init__(self, url: Secret) -> None:
        self._server = RedisServer(url.reveal(), _SECONDS)
        self._turns = [threading.Lock() for _ in range(_TURNS)]
        self._lock = threading.Lock()  # never held while anything is waited for
        self._waiting: dict[str, list[_Wanted]] = {}

    def read(self, names: Sequence[str]) -> tuple[int, list[bytes]]:
        keys = [_PREFIX + name for name in names]
        now, *contents = self._server.run(lambda client: evaluate(client, _READ, keys))
        return now * 1000, contents

    def change(self, name: str, change: Change) -> tuple[int, bytes]:
        mine = _Wanted(change)
        with self._lock:
            batch = self._waiting.setdefault(name, [])
            batch.append(mine)
        if batch[0] is mine:
            self._change_all(name, batch)
        mine.done.wait()
        if error := mine.lost or mine.error:
            raise error
        return mine.now, mine.content

    def _change_all(self, name: str, batch: list[_Wanted]) -> None:
        """Make as one all changes of a cell that come until it is this batch's turn."""
        lost: StoreError | None = StoreError("Redis: the changes of a cell were cut short")
        try:
            with self._turn(name):
                self._server.run(
                    lambda client: _change(client, [_PREFIX + name], lambda held, now: _all(batch, held, now))
                )
            lost = None
        except StoreError as error:
            lost = error
        finally:
            for each in batch:
                each.lost = lost
                each.done.set()

    @contextlib.contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """Wait for those before; from then on nobody joins the batch."""
        turn = self._turns[hash(name) % _TURNS]
        try:
            its = turn.acquire(timeout=_SECONDS)
        finally:
            with self._lock:
                del self._waiting[name]
        if not its:
            raise StoreError("Redis: the changes before take too long")
        try:
            yield
        finally:
            turn.release()


class _Wanted:
    """A change that somebody waits for.

    Attributes:
        done: it has been made, or never will be.
        now, content: what came of it.
        error: what it raised itself.
        lost: why it may not have been made.
    """

    def __init__(self, change: Change) -> None:
        self.change = change
        self.done = threading.Event()
        self.now, self.content = 0, b""
        self.error: Exception | None = None
        self.lost: StoreError | None = None


def _all(batch: Sequence[_Wanted], held: bytes, now: int) -> bytes:
    """What a cell holds after changes, each of which is told what the one before it has left."""
    for each in batch:
        each.now, each.error = now, None
        try:
            each.content = held = each.change(held, now)
        except Exception as error:  # noqa: BLE001 - raised where the change was asked for
            each.error = error
    return held


def _change(client: Redis, key: Sequence[str], change: Change) -> tuple[int, bytes]:
    """Change the cell unless it has been changed meanwhile, and then again, as often as there is time."""
    until = time.monotonic() + _SECONDS
    now, held = evaluate(client, _READ, key)
    for number in count():
        content = change(held, now * 1000)
        if content == held:
            break
        later, really = evaluate(client, _EXCHANGE, key, (held, content))
        if really == held:
            break
        if number >= _FEWEST_TRIES and time.monotonic() > until:
            raise StoreError("Redis: others change this cell all the time")
        now, held = later, really
    return now * 1000, content
