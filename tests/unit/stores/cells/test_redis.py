"""Cells of several hosts on Redis: a round trip for each look, none for nothing, and a change by one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from gateway.config import Secret
from gateway.stores import StoreError
from gateway.stores.cells import Change
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
    assert seen[0][1] < seen[1][1] < seen[2][1], "with the time of each try"
    assert client.get(KEY + "a") == b"20!"


def test_a_cell_that_is_changed_all_the_time_is_given_up(cells: RedisCells, client: redis.Redis) -> None:
    def late(held: bytes, now: int) -> bytes:
        client.incr(KEY + "a")
        return held + b"!"

    began = time.monotonic()
    with pytest.raises(StoreError, match="all the time"):
        cells.change("a", late)
    assert 0.25 < time.monotonic() - began < 2


class Waiting:
    """A change that is under way, while the test lets others of the same cell come."""

    def __init__(self, cells: RedisCells, error: BaseException | None = None) -> None:
        self.cells, self.error, self.go = cells, error, threading.Event()
        self.pool = ThreadPoolExecutor(8)
        self.first = self.pool.submit(cells.change, "a", self._wait)
        self.others: list[Future[tuple[int, bytes]]] = []

    def _wait(self, held: bytes, now: int) -> bytes:
        assert self.go.wait(5)
        if self.error:
            raise self.error
        return held + b"!"

    def add(self, change: Change) -> None:
        self.others.append(self.pool.submit(self.cells.change, "a", change))
        until = time.monotonic() + 5
        while len(self.cells._waiting.get("a", ())) < len(self.others):
            assert time.monotonic() < until
            time.sleep(0.001)

    def end(self) -> None:
        self.go.set()
        self.pool.shutdown()


def test_what_comes_while_a_cell_is_changed_is_made_as_one_change(cells: RedisCells, client: redis.Redis) -> None:
    waiting = Waiting(cells)
    for letter in (b"x", b"y", b"z"):
        waiting.add(lambda held, now, letter=letter: held + letter)
    assert commands(client, waiting.end)["evalsha"] == 3
    results = [each.result()[1] for each in (waiting.first, *waiting.others)]
    assert results == [b"1!", b"1!x", b"1!xy", b"1!xyz"]


def test_a_change_that_fails_among_others_is_its_callers_alone(cells: RedisCells) -> None:
    waiting = Waiting(cells)
    for letter in (b"x", None, b"z"):
        waiting.add(lambda held, now, letter=letter: held + letter)
    waiting.end()
    assert isinstance(waiting.others[1].exception(), TypeError)
    assert [waiting.others[0].result()[1], waiting.others[2].result()[1]] == [b"1!x", b"1!xz"]


@pytest.mark.parametrize("leader", [True, False])
def test_nobody_waits_for_a_change_that_was_cut_short(leader: bool, cells: RedisCells) -> None:
    waiting = Waiting(cells, SystemExit() if leader else None)
    for error in (None, SystemExit() if not leader else None):

        def work(held: bytes, now: int, error: BaseException | None = error) -> bytes:
            if error:
                raise error
            return held + b"x"

        waiting.add(work)
    waiting.end()
    if leader:
        assert [each.result()[1] for each in waiting.others] == [b"1x", b"1xx"]
    else:
        assert {type(each.exception()) for each in waiting.others} == {SystemExit, StoreError}
        assert cells.read(["a"])[1] == [b"1!"]
    assert cells.change("a", lambda held, now: b"2")[1] == b"2"


def test_no_change_waits_for_long_for_those_before_it(cells: RedisCells) -> None:
    waiting = Waiting(cells)
    waiting.add(lambda held, now: held)
    began = time.monotonic()
    assert isinstance(waiting.others[0].exception(5), StoreError)
    assert time.monotonic() - began < 2
    waiting.end()
    assert cells.change("a", lambda held, now: held)[1] == b"1!"


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
