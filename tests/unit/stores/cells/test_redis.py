"""Cells of several hosts on Redis: a round trip for each look, none for nothing, and a change by one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from gateway.config import Secret
from gateway.stores import StoreError
from gateway.stores.cells.opening import open_cells
from gateway.stores.cells.redis import RedisCells
from tests.fakes.redis_server import RedisServer
from tests.unit.stores.cells.workers import one_more

KEY = "llm-gateway:{cells}:"


@pytest.fixture
def cells(client: redis.Redis, redis_server: RedisServer, tmp_path: Path) -> Iterator[RedisCells]:
    made = open_cells(Secret(redis_server.url), tmp_path)
    assert isinstance(made, RedisCells)
    made.change("a", lambda held, now: b"1")
    yield made
    client.config_set("maxmemory", 0)
    client.replicaof("NO", "ONE")


def commands(client: redis.Redis, work: Callable[[], object]) -> dict[str, int]:
    """What `work` lets Redis do."""
    client.config_resetstat()
    work()
    told = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): told[name]["calls"] for name in told if "config" not in name}


def test_all_is_read_in_one_round_trip(cells: RedisCells, client: redis.Redis) -> None:
    cells.read(["a"])
    assert commands(client, lambda: cells.read(["a", "b", "c"])) == {"evalsha": 1, "time": 1, "get": 3}


def test_nothing_is_written_where_nothing_changes(cells: RedisCells, client: redis.Redis) -> None:
    assert commands(client, lambda: cells.change("a", lambda held, now: held)) == {"evalsha": 1, "time": 1, "get": 1}


def test_a_change_is_made_again_where_another_one_came_first(cells: RedisCells, client: redis.Redis) -> None:
    seen = []

    def late(held: bytes, now: int) -> bytes:
        seen.append((held, now))
        if len(seen) < 3:
            client.set(KEY + "a", b"%d" % (10 * len(seen)))
        return held + b"!"

    assert cells.change("a", late) == (seen[-1][1], b"20!")
    assert [held for held, _ in seen] == [b"1", b"10", b"20"]
    assert seen == sorted(seen, key=lambda each: each[1]), "with the time of each try"
    assert client.get(KEY + "a") == b"20!"


def test_a_cell_that_is_changed_all_the_time_is_given_up(cells: RedisCells, client: redis.Redis) -> None:
    def late(held: bytes, now: int) -> bytes:
        client.incr(KEY + "a")
        return held + b"!"

    began = time.monotonic()
    with pytest.raises(StoreError, match="all the time"):
        cells.change("a", late)
    assert 0.25 < time.monotonic() - began < 0.5


def test_what_nobody_changes_for_an_hour_is_forgotten_and_what_is_empty_at_once(
    cells: RedisCells, client: redis.Redis
) -> None:
    assert 3590 < client.ttl(KEY + "a") <= 3600
    cells.change("a", lambda held, now: b"")
    assert client.keys() == []


def test_all_of_it_is_on_one_node_of_a_cluster(cells: RedisCells, client: redis.Redis) -> None:
    cells.change("b", lambda held, now: b"1")
    assert sorted(client.keys()) == [b"llm-gateway:{cells}:a", b"llm-gateway:{cells}:b"]


def test_redis_may_forget_the_scripts_and_everything(cells: RedisCells, client: redis.Redis) -> None:
    client.script_flush()
    assert cells.change("a", one_more)[1] == b"2"
    client.flushall()
    assert cells.change("a", one_more)[1] == b"1"


FAULTS: dict[str, Callable[[redis.Redis], object]] = {
    "read-only": lambda client: client.replicaof("127.0.0.1", "1"),
    "full": lambda client: client.config_set("maxmemory", 1),
    "another's key": lambda client: client.delete(KEY + "a") and client.rpush(KEY + "a", "text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_redis_refuses_is_a_failing_store(fault: str, cells: RedisCells, client: redis.Redis) -> None:
    FAULTS[fault](client)
    with pytest.raises(StoreError) as caught:
        cells.change("a", lambda held, now: held + b"!")
    assert "127.0.0.1" not in str(caught.value)


def test_an_address_that_cannot_be_used_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="REDIS_URL"):
        open_cells(Secret("redis://127.0.0.1/0?unknown=1"), tmp_path)
