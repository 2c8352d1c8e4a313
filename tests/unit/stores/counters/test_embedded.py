"""One host's processes share what they count, and one that is killed takes nothing along but its calls in flight."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gateway.stores import StoreError
from gateway.stores.counters import IN_FLIGHT, Correction, Demand
from gateway.stores.counters import embedded as module
from gateway.stores.counters.embedded import EmbeddedCounters
from tests.unit.stores.counters import workers
from tests.unit.stores.counters.conftest import SECOND, Clock
from tests.unit.stores.counters.workers import A


@pytest.fixture
def counters(tmp_path: Path) -> EmbeddedCounters:
    made = EmbeddedCounters(tmp_path)
    made.join({})
    return made


def entries(counters: EmbeddedCounters) -> int:
    return counters._env.read(lambda records: records.stat()["entries"])


@pytest.mark.parametrize(("limit", "most", "seed"), [(1, 1, 1), (40, 1, 2), (100, 30, 3)])
def test_four_processes_take_the_limit_and_no_more_in_any_second(
    limit: int, most: int, seed: int, tmp_path: Path
) -> None:
    with workers.processes().Pool(4) as pool:
        until = time.monotonic() + 1.4
        tasks = [(workers.embedded, str(tmp_path), limit, most, 4 * seed + number, until) for number in range(4)]
        asked = [each for told in pool.starmap(workers.rush, tasks, chunksize=1) for each in told]
    assert sum(not each.taken for each in asked) > 10
    buckets = [each.bucket for each in asked]
    assert max(buckets) - min(buckets) > 61
    workers.never_more_than(limit, asked)
    workers.nobody_refused_who_fits(limit, asked, lambda refused: refused.before * 60 // SECOND)


def test_a_killed_process_has_no_calls_in_flight_and_loses_nothing_else(
    counters: EmbeddedCounters, tmp_path: Path
) -> None:
    counters.take([Demand(A, IN_FLIGHT, None, 1)])
    with workers.holding(workers.embedded, str(tmp_path)) as process:
        counters.maintain()
        assert counters.used([(A, IN_FLIGHT), (A, 60)]) == [4, 2], "it lives"
        process.kill()
        process.join()
        counters.maintain()
        assert counters.used([(A, IN_FLIGHT), (A, 60)]) == [1, 2]
    assert len(list((tmp_path / "slots").iterdir())) == 1


def test_who_is_refused_for_calls_of_a_dead_process_is_not(counters: EmbeddedCounters, tmp_path: Path) -> None:
    with workers.holding(workers.embedded, str(tmp_path)) as process:
        assert not counters.take([Demand(A, IN_FLIGHT, 3, 1)]).taken
        process.kill()
        process.join()
        time.sleep(module._LOOK)
        assert counters.take([Demand(A, IN_FLIGHT, 3, 1)]).taken


def test_refusals_look_for_the_dead_now_and_then_only(
    counters: EmbeddedCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    monkeypatch.setattr(counters, "_bury", lambda: looks.append("look"))
    for _ in range(50):
        counters.take([Demand(A, IN_FLIGHT, 0, 1)])
    assert len(looks) == 1
    counters.take([Demand(A, 60, 0, 1), Demand(A, IN_FLIGHT, 1, 1)])
    assert len(looks) == 1


def test_a_process_that_ends_takes_its_calls_in_flight_back(counters: EmbeddedCounters, tmp_path: Path) -> None:
    counters.take([Demand(A, IN_FLIGHT, None, 1), Demand(A, 60, None, 1)])
    counters.close()
    assert counters.used([(A, IN_FLIGHT), (A, 60)]) == [0, 1]
    assert list((tmp_path / "slots").iterdir()) == []
    counters.close()


def test_what_a_fork_has_left_is_the_parents(counters: EmbeddedCounters, monkeypatch: pytest.MonkeyPatch) -> None:
    counters.take([Demand(A, IN_FLIGHT, None, 1)])
    owner = counters._owner
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        counters.close()
        counters.join({})
    assert counters.used([(A, IN_FLIGHT)]) == [1]
    assert (counters._data_dir / "slots" / owner.hex()).exists()


def test_counters_of_users_who_came_once_are_swept_away(tmp_path: Path) -> None:
    clock = Clock()
    counters = EmbeddedCounters(tmp_path, clock=clock)
    counters.join({})
    for number in range(7000):
        user = number.to_bytes(16)
        if number == 6000:
            clock.now += 62 * SECOND
        counters.take([Demand(user, 60, 9, 1)])
    counters.take([Demand(A, IN_FLIGHT, 9, 1)])
    for _ in range(3):
        counters.maintain()
    assert entries(counters) == 1001
    assert counters.used([(A, IN_FLIGHT), ((6999).to_bytes(16), 60)]) == [1, 1]


def test_a_full_environment_is_a_failing_store_until_what_is_in_it_counts_no_more(tmp_path: Path) -> None:
    clock = Clock()
    counters = EmbeddedCounters(tmp_path, 2**20, clock)
    counters.join({})
    taken = 0
    with pytest.raises(StoreError, match="too many"):
        for taken in range(10**6):
            counters.take([Demand(taken.to_bytes(16), 60, 9, 1)])
    assert taken > 5000
    with pytest.raises(StoreError):
        counters.join({A: 1})
    counters.correct([Correction((0).to_bytes(16), 60, clock.now * 60 // (60 * SECOND), 1)])
    clock.now += 62 * SECOND
    counters.maintain()
    counters.maintain()
    assert counters.take([Demand(A, 60, 9, 1)]).taken
    counters.close()


def test_a_directory_that_cannot_be_made_is_a_failing_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        EmbeddedCounters(tmp_path / "file").join({})
