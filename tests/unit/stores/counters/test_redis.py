"""Processes of several hosts share what they count on Redis, whatever becomes of them and of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from gateway.config import Secret
from gateway.stores import StoreError
from gateway.stores.counters import IN_FLIGHT, Correction, Demand
from gateway.stores.counters.redis import _SHARED, RedisCounters
from tests.fakes.redis_server import RedisServer
from tests.unit.stores.counters import workers
from tests.unit.stores.counters.conftest import SECOND, Clock, TimedRedis
from tests.unit.stores.counters.workers import A

OWNERS = _SHARED[1]


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as made:
        made.flushall()
        yield made
        made.config_set("maxmemory", 0)
        made.replicaof("NO", "ONE")


@pytest.fixture
def counters(client: redis.Redis, redis_server: RedisServer) -> RedisCounters:
    made = RedisCounters(Secret(redis_server.url))
    made.join({})
    return made


def test_four_processes_take_the_limit_and_no_more_in_any_second(
    client: redis.Redis, redis_server: RedisServer
) -> None:
    with workers.processes().Pool(4) as pool:
        until = time.monotonic() + 1.6
        tasks = [(workers.on_redis, redis_server.url, 60, 5, number, until) for number in range(4)]
        asked = [each for told in pool.starmap(workers.rush, tasks, chunksize=1) for each in told]
    assert sum(not each.taken for each in asked) > 10
    workers.never_more_than(60, asked, slack=1_000_000)  # Redis' clock is another one
    workers.nobody_refused_who_fits(60, asked, lambda refused: refused.bucket)


def test_who_shows_no_more_that_it_lives_has_no_calls_in_flight(
    client: redis.Redis, redis_server: RedisServer, clock: Clock
) -> None:
    counters, other = (TimedRedis(redis_server.url, clock) for _ in range(2))
    for each in (counters, other):
        each.join({})
        each.take([Demand(A, IN_FLIGHT, None, 3), Demand(A, 60, None, 2)])
    assert counters.living == 1, "it has heard of one before the other joined"
    counters.maintain()
    assert counters.living == 2
    client.zadd(OWNERS, {other._member[0]: clock.now // 1000 + 30_000_000})
    clock.now += 30 * SECOND
    assert counters.used([(A, IN_FLIGHT), (A, 60)]) == [6, 4]
    clock.now += SECOND
    assert not counters.take([Demand(A, IN_FLIGHT, 3, 1)]).taken
    assert counters.take([Demand(A, IN_FLIGHT, 4, 1)]).used == [3]
    assert counters.used([(A, 60)]) == [4], "and loses nothing else"
    counters.maintain()
    assert (counters.living, client.zcard(OWNERS)) == (1, 1)


def test_a_lease_is_half_a_minute_and_maintaining_renews_it(counters: RedisCounters, client: redis.Redis) -> None:
    (owner, _), seconds = counters._member, client.time()[0]
    assert 29 <= client.zscore(OWNERS, owner) / 1e6 - seconds <= 31
    client.zadd(OWNERS, {owner: (seconds + 2) * 10**6})
    counters.maintain()
    assert client.zscore(OWNERS, owner) / 1e6 - seconds >= 29


def test_who_is_not_known_any_more_fails_until_it_joins_again(counters: RedisCounters, client: redis.Redis) -> None:
    bucket = counters.take([Demand(A, IN_FLIGHT, 9, 2)]).buckets[0]
    client.flushall()
    for work in (
        lambda: counters.take([Demand(A, 60, 9, 1)]),
        lambda: counters.correct([Correction(A, IN_FLIGHT, bucket, 1)]),
        counters.maintain,
    ):
        with pytest.raises(StoreError):
            work()
    assert counters.used([(A, IN_FLIGHT)]) == [0]
    counters.join({A: 2})
    assert counters.used([(A, IN_FLIGHT)]) == [2]


def test_a_process_that_ends_takes_its_calls_in_flight_back(counters: RedisCounters) -> None:
    counters.take([Demand(A, IN_FLIGHT, 9, 2), Demand(A, 60, 9, 2)])
    counters.close()
    assert counters.used([(A, IN_FLIGHT), (A, 60)]) == [0, 2]


def test_redis_may_forget_the_scripts(counters: RedisCounters, client: redis.Redis) -> None:
    client.script_flush()
    assert counters.take([Demand(A, 60, 9, 1)]).taken
    assert counters.used([(A, 60)]) == [1]


def test_what_counts_no_more_is_forgotten_by_redis_itself(counters: RedisCounters, client: redis.Redis) -> None:
    demands = [Demand(A, seconds, 9, 1) for seconds in (1, 60, 3600, IN_FLIGHT)]
    place = counters.take(demands).buckets[3]
    lives = sorted(client.ttl(key) for key in client.scan_iter("*:" + A.hex()))
    assert [round(left, -1) for left in lives] == [0, 120, 7200, 86_400]
    counters.correct([Correction(A, IN_FLIGHT, place, 1)])
    assert len(list(client.scan_iter("*:" + A.hex()))) == 3


FAULTS: dict[str, Callable[[redis.Redis], object]] = {
    "read-only": lambda client: client.replicaof("127.0.0.1", "1"),
    "full": lambda client: client.config_set("maxmemory", 1),
    "another's key": lambda client: client.set("llm-gateway:{counters}:60:" + A.hex(), "text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_redis_refuses_is_a_failing_store_and_nothing_of_it_is_done(
    fault: str, counters: RedisCounters, client: redis.Redis
) -> None:
    FAULTS[fault](client)
    with pytest.raises(StoreError) as caught:
        counters.take([Demand(A, 3600, 9, 1), Demand(A, 60, 9, 1)])
    assert "127.0.0.1" not in str(caught.value)
    client.config_set("maxmemory", 0)
    client.replicaof("NO", "ONE")
    assert counters.used([(A, 3600)]) == [0]
