"""One host's processes share what they count, and one that is killed takes nothing along but its calls in flight."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway import process
from gateway.stores import StoreError
from gateway.stores.counters import IN_FLIGHT, Correction, Demand
from gateway.stores.counters import embedded as module
from gateway.stores.counters.embedded import EmbeddedCounters
from tests.unit.stores.counters import workers
from tests.unit.stores.counters.conftest import SECOND, Clock
from tests.unit.stores.counters.workers import A

B = b"b" * 16


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
        patch.setattr(process, "number", 1)
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


def fill(counters: EmbeddedCounters, seconds: int = 60) -> int:
    """Count calls of ever more users, until they have no windows of their own. How many have."""
    for number in range(1, 10**6):
        before = entries(counters)
        verdict = counters.take([Demand(number.to_bytes(16), seconds, None, 1)])
        if number > 1 and verdict.used[0]:
            return number - 2
        assert entries(counters) == before + 1
    raise AssertionError


def test_a_flood_of_names_takes_nobodys_limits_away(tmp_path: Path) -> None:
    clock = Clock()
    counters = EmbeddedCounters(tmp_path, 2**20, clock)
    counters.join({})
    place = counters.take([Demand(A, 60, 9, 5), Demand(A, IN_FLIGHT, 9, 1)]).buckets[1]
    number = fill(counters)
    assert number > 5000
    there = entries(counters)
    for late in range(10**6, 10**6 + 500):
        counters.take([Demand(late.to_bytes(16), 60, None, 1)])
    assert entries(counters) == there
    assert list(counters.take([Demand(A, 60, 9, 5)]).used) == [5]
    assert counters.take([Demand(A, 60, 9, 4)]).taken
    refused = counters.take([Demand(B, 60, 400, 1), Demand(B, IN_FLIGHT, 1, 1)])
    assert (refused.taken, refused.waits[1]) == (False, 0)
    assert counters.take([Demand(B, IN_FLIGHT, 1, 1)]).taken
    counters.correct([Correction(A, IN_FLIGHT, place, 1)])
    another = EmbeddedCounters(tmp_path, 2**20, clock)
    another.join({A: 1})
    assert another.used([(A, 60), (A, IN_FLIGHT), (B, IN_FLIGHT)]) == [9, 1, 1]
    clock.now += 62 * SECOND
    for _ in range(3):
        counters.maintain()
    assert list(counters.take([Demand(B, 60, 9, 1)]).used) == [0]
    assert list(counters.take([Demand(A, 60, 9, 1)]).used) == [0]
    another.close()
    counters.close()


def test_windows_that_are_there_do_not_fill_the_environment_either(tmp_path: Path) -> None:
    clock = Clock()
    counters = EmbeddedCounters(tmp_path, 2**20, clock)
    counters.join({})
    number = fill(counters, 3600)
    for _ in range(3):
        clock.now += 61 * SECOND
        for user in range(1, number, 2):
            counters.take([Demand(user.to_bytes(16), 3600, None, 1)])
    assert counters.used([((1).to_bytes(16), 3600), ((number - number % 2 - 1).to_bytes(16), 3600)]) == [4, 4]
    last = counters.take([Demand((2).to_bytes(16), 3600, 2, 1)])
    assert (last.taken, list(last.used)) == (True, [1])
    counters.correct([Correction((2).to_bytes(16), 3600, last.buckets[0], -1)])
    assert counters.used([((2).to_bytes(16), 3600)]) == [3]
    clock.now += 3601 * SECOND * 61 // 60
    assert counters.used([((1).to_bytes(16), 3600), ((2).to_bytes(16), 3600)]) == [0, 0]


def test_an_environment_with_no_room_at_all_is_a_failing_store(
    counters: EmbeddedCounters, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters.take([Demand(A, 60, 9, 1)])
    monkeypatch.setattr(module, "_USABLE", 0.0)
    with pytest.raises(StoreError, match="too many"):
        for _ in range(module._LOOKED_AT):
            counters.take([Demand(A, 60, None, 1)])
    with pytest.raises(StoreError, match="too many"):
        counters.take([Demand(A, 60, None, 1)])


def test_who_only_asks_makes_and_deletes_nothing(tmp_path: Path) -> None:
    (tmp_path / "counters-of-another-boot").mkdir()
    assert EmbeddedCounters(tmp_path).used([(A, 60), (A, IN_FLIGHT)]) == [0, 0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["counters-of-another-boot"]


def test_who_only_asks_is_told_what_others_count(tmp_path: Path) -> None:
    with workers.holding(workers.embedded, str(tmp_path)):
        before = sorted(tmp_path.rglob("*"))
        assert EmbeddedCounters(tmp_path).used([(A, IN_FLIGHT), (A, 60), (B, 60)]) == [3, 2, 0]
        assert EmbeddedCounters(tmp_path).used([(A, IN_FLIGHT)]) == [3]
        assert sorted(tmp_path.rglob("*")) == before


def test_a_directory_that_cannot_be_made_is_a_failing_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError):
        EmbeddedCounters(tmp_path / "file").join({})
