"""Cells of several hosts, on one Redis. A change holds nobody up: it is made again where another one came first."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import count

from redis import Redis

from gateway.config import Secret
from gateway.stores import StoreError
from gateway.stores.cells import Change
from gateway.stores.redis import RedisServer, evaluate

_SECONDS = 0.25  # that an operation may take; a busy process must not take itself for a slow server
_PREFIX = "llm-gateway:{cells}:"  # the braces keep all of it on one node
_FEWEST_TRIES = 3  # in a busy process each answer comes late
_PAUSE = 0.001  # seconds that are added with every try to the most that is waited before it: not all try at once

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

    def read(self, names: Sequence[str]) -> tuple[int, list[bytes]]:
        keys = [_PREFIX + name for name in names]
        now, *contents = self._server.run(lambda client: evaluate(client, _READ, keys))
        return now * 1000, contents

    def change(self, name: str, change: Change) -> tuple[int, bytes]:
        return self._server.run(lambda client: _change(client, [_PREFIX + name], change))


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
        time.sleep(random.uniform(0, number * _PAUSE))  # noqa: S311 - not a secret
    return now * 1000, content
