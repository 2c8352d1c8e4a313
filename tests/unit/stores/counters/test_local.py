"""What this process counts alone takes no more memory than it may, and nobody's limits away for that."""

from __future__ import annotations

import pytest

from gateway.stores.counters import IN_FLIGHT, Correction, Demand
from gateway.stores.counters import local as module
from gateway.stores.counters.local import LocalCounters
from tests.unit.stores.counters.conftest import SECOND, Clock


def user(number: int) -> bytes:
    return number.to_bytes(16)


@pytest.fixture
def full(clock: Clock) -> LocalCounters:
    """Counters with room for ten windows, each of which counts something."""
    counters = LocalCounters(most=10, clock=clock)
    for number in range(10):
        counters.take([Demand(user(number), 60, 9, 5)])
    return counters


def test_a_flood_of_names_takes_no_window_and_no_call_in_flight_away(full: LocalCounters) -> None:
    for number in range(10, 1000):
        full.take([Demand(user(number), seconds, None, 1) for seconds in (IN_FLIGHT, 60, 3600)])
    assert full.used([(user(number), 60) for number in range(10)]) == [5] * 10
    assert not full.take([Demand(user(0), 60, 9, 5)]).taken
    assert full.take([Demand(user(0), 60, 9, 4)]).taken
    assert len(full._records.windows) == 12
    assert full.used([(user(number), IN_FLIGHT) for number in range(10, 1000)]) == [1] * 990


def test_windows_that_find_no_room_count_together(full: LocalCounters) -> None:
    assert full.take([Demand(user(10), 60, 9, 5)]).taken
    verdict = full.take([Demand(user(11), 60, 9, 5)])
    assert (verdict.taken, list(verdict.used)) == (False, [5])
    assert full.used([(user(12), 60), (user(12), 3600)]) == [5, 0]


def test_two_windows_of_one_call_that_count_together_count_both(full: LocalCounters) -> None:
    verdict = full.take([Demand(user(10), 60, 9, 4), Demand(user(11), 60, 4, 3)])
    assert (verdict.taken, full.used([(user(10), 60)])) == (True, [7])
    full.correct([Correction(user(10), 60, verdict.buckets[0], 4), Correction(user(11), 60, verdict.buckets[1], -2)])
    assert full.used([(user(10), 60)]) == [5]


def test_what_was_counted_together_is_given_back_there_also_when_there_is_room_again(
    full: LocalCounters, clock: Clock
) -> None:
    first = full.take([Demand(user(10), 3600, 9, 5)]).buckets[0]
    clock.now += 62 * SECOND
    full.maintain()
    own = full.take([Demand(user(10), 3600, 9, 3)])
    assert list(own.used) == [5], "a window of its own begins with what it may have counted before"
    full.correct([Correction(user(10), 3600, first, 5), Correction(user(10), 3600, own.buckets[0], 1)])
    assert full.used([(user(10), 3600), (user(11), 3600)]) == [7, 0]


def test_nothing_is_given_back_that_only_others_have_counted(full: LocalCounters) -> None:
    bucket = full.take([Demand(user(0), 60, 9, 0)]).buckets[0]
    full.take([Demand(user(10), 60, 9, 5)])
    full.correct([Correction(user(11), 60, bucket, 5)])
    assert full.used([(user(10), 60)]) == [5]


def test_what_counts_no_more_makes_room_before_anything_counts_together(full: LocalCounters, clock: Clock) -> None:
    clock.now += 62 * SECOND
    assert [full.take([Demand(user(number), 60, 9, 9)]).taken for number in (10, 11, 12)] == [True] * 3
    assert full.used([(user(11), 60), (user(13), 60)]) == [9, 0]


def test_what_counts_no_more_is_dropped_turn_by_turn(clock: Clock) -> None:
    counters = LocalCounters(clock=clock)
    for number in range(module._SWEPT * 2):
        counters.take([Demand(number.to_bytes(16), 60 if number % 2 else 3600, 9, 1)])
    clock.now += 62 * SECOND
    counters.maintain()
    assert len(counters._records.windows) == module._SWEPT * 1.5
    counters.maintain()
    assert len(counters._records.windows) == module._SWEPT
