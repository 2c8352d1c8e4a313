"""Every kind of counters, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Secret
from gateway.stores.counters import Counters, SharedCounters
from gateway.stores.counters.embedded import EmbeddedCounters
from gateway.stores.counters.local import LocalCounters
from gateway.stores.counters.redis import _SHARED, RedisCounters

SECOND = 1_000_000_000


class Clock:
    """Nanoseconds; it stands where it is put."""

    def __init__(self) -> None:
        self.now = 1_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TimedRedis(RedisCounters):
    """Redis with a clock that is in one of its keys, and a lease that does not end."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(Secret(url))
        self.clock = clock

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        timed = script.replace("redis.call('TIME')", "redis.call('LRANGE', 'now', 0, -1)")
        now = divmod(self.clock.now // 1000, 10**6)
        lease = {self._member[0]: 2**52}
        self._server.run(
            lambda client: client.pipeline().delete("now").rpush("now", *now).zadd(_SHARED[1], lease).execute()
        )
        return super()._run(timed, keys, arguments)


@pytest.fixture(params=["embedded", "redis", "local"])
def counters(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[SharedCounters]:
    made: SharedCounters
    if request.param == "embedded":
        made = EmbeddedCounters(tmp_path, 2**22, clock)
    elif request.param == "redis":
        made = TimedRedis(request.getfixturevalue("redis_server").url, clock)
        made._server.run(lambda client: client.flushall())
    else:
        made = LocalCounters(clock=clock)
    made.join({})
    yield made
    made.close()


@pytest.fixture
def seen(clock: Clock, counters: Counters) -> Callable[[], int]:
    """The time as the counters see it: on Redis it never goes back."""
    if not isinstance(counters, TimedRedis):
        return clock
    last, ahead = clock.now, 0

    def steady() -> int:
        nonlocal last, ahead
        now = clock.now // 1000 * 1000
        ahead += max(0, last - now - ahead)
        last = now + ahead
        return last

    return steady
