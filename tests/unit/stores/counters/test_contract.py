"""What all counters promise: in any period at most the limit, and nobody refused who would fit."""

from __future__ import annotations

import math

import pytest

from gateway.stores.counters import IN_FLIGHT, Correction, Counters, Demand, SharedCounters, Verdict
from tests.unit.stores.counters.conftest import SECOND, Clock

A, B = b"a" * 16, b"b" * 16


def take(counters: Counters, limit: int | None, amount: int = 1, seconds: int = 60, counter: bytes = A) -> Verdict:
    return counters.take([Demand(counter, seconds, limit, amount)])


def says(counters: Counters, seconds: int = 60, counter: bytes = A) -> int:
    (said,) = counters.used([(counter, seconds)])
    return said


def test_as_much_as_the_limit_is_taken_and_no_more(counters: Counters) -> None:
    assert [take(counters, 3).taken for _ in range(5)] == [True, True, True, False, False]
    assert says(counters) == 3


def test_a_verdict_says_what_was_counted_before(counters: Counters) -> None:
    assert [take(counters, 5, 2).used for _ in range(3)] == [[0], [2], [4]]


def test_one_demand_that_does_not_fit_leaves_all_uncounted(counters: Counters) -> None:
    demands = [Demand(A, 60, 10, 1), Demand(A, IN_FLIGHT, 10, 1), Demand(B, 3600, 5, 6)]
    verdict = counters.take(demands)
    assert not verdict.taken
    assert list(verdict.waits) == [0, 0, math.inf]
    assert counters.used([(A, 60), (A, IN_FLIGHT), (B, 3600)]) == [0, 0, 0]


def test_the_periods_of_one_counter_count_apart(counters: Counters) -> None:
    take(counters, 1, seconds=1)
    assert take(counters, 1, seconds=60).taken
    assert take(counters, 1, seconds=IN_FLIGHT).taken
    assert not take(counters, 1, seconds=1).taken


@pytest.mark.parametrize("seconds", [1, 60, 3600])
def test_what_was_taken_counts_for_a_period_and_at_most_two_buckets_more(
    seconds: int, counters: Counters, clock: Clock
) -> None:
    began = clock.now
    bucket = take(counters, 1, seconds=seconds).buckets[0]
    clock.now = began + seconds * SECOND
    assert not take(counters, 1, seconds=seconds).taken
    clock.now = -(-(bucket + 61) * seconds * SECOND // 60) - 1_000_000
    assert not take(counters, 1, seconds=seconds).taken
    clock.now += 1_001_000
    assert says(counters, seconds) == 0
    assert take(counters, 1, seconds=seconds).taken


@pytest.mark.parametrize("seconds", [1, 60, 3600])
def test_who_waits_as_long_as_told_fits_and_not_a_moment_earlier(
    seconds: int, counters: Counters, clock: Clock
) -> None:
    for amount in (1, 4, 5):
        take(counters, 10, amount, seconds)
        clock.now += seconds * SECOND // 7
    verdict = take(counters, 10, 3, seconds)
    wait = math.ceil(verdict.waits[0] * 1_000_000) * 1000
    clock.now += wait - 2000
    assert not take(counters, 10, 3, seconds).taken
    clock.now += 3000
    assert take(counters, 10, 3, seconds).taken


def test_what_is_more_than_the_limit_never_fits(counters: Counters) -> None:
    assert list(take(counters, 4, 5).waits) == [math.inf]


def test_nothing_always_fits_and_without_a_limit_everything(counters: Counters) -> None:
    assert take(counters, None, 1000).taken
    verdict = take(counters, 10, 0)
    assert (verdict.taken, list(verdict.used), list(verdict.waits)) == (True, [1000], [0])
    assert take(counters, 0, 0, counter=B).taken
    assert not take(counters, 0, 1, counter=B).taken


def test_large_amounts_are_exact(counters: Counters) -> None:
    largest = 2**53 - 1
    assert take(counters, largest, largest - 1).taken
    assert not take(counters, largest, 2).taken
    assert take(counters, largest, 1).taken
    assert says(counters) == largest


def test_what_is_given_back_is_free_at_once(counters: Counters) -> None:
    verdict = take(counters, 100, 100)
    counters.correct([Correction(A, 60, verdict.buckets[0], 70)])
    assert says(counters) == 30
    assert take(counters, 100, 70).taken


def test_more_may_be_counted_afterwards_also_past_the_limit_and_where_nothing_was(
    counters: Counters, clock: Clock
) -> None:
    place = take(counters, 100, 0).buckets[0]
    clock.now += 2 * SECOND
    take(counters, 100, 1)
    counters.correct([Correction(A, 60, place, -150)])
    assert says(counters) == 151
    clock.now += 59 * SECOND
    assert says(counters) == 1, "it counts from its own bucket on"


def test_no_more_is_given_back_than_counts(counters: Counters, clock: Clock) -> None:
    first = take(counters, 100, 10).buckets[0]
    clock.now += 5 * SECOND
    take(counters, 100, 5)
    counters.correct([Correction(A, 60, first, 50)])
    assert says(counters) == 5


def test_what_counts_no_more_is_not_given_back(counters: Counters, clock: Clock) -> None:
    first = take(counters, 100, 10).buckets[0]
    clock.now += 62 * SECOND
    take(counters, 100, 5)
    counters.correct([Correction(A, 60, first, 10), Correction(A, 60, first, -10)])
    assert says(counters) == 5


def test_a_call_in_flight_counts_until_it_ends(counters: Counters, clock: Clock) -> None:
    place = take(counters, 2, seconds=IN_FLIGHT).buckets[0]
    take(counters, 2, seconds=IN_FLIGHT)
    clock.now += 10 * SECOND
    verdict = take(counters, 2, seconds=IN_FLIGHT)
    assert (verdict.taken, list(verdict.used), list(verdict.waits)) == (False, [2], [math.inf])
    counters.correct([Correction(A, IN_FLIGHT, place, 1)])
    assert says(counters, IN_FLIGHT) == 1
    assert take(counters, 2, seconds=IN_FLIGHT).taken


def test_an_end_may_be_told_before_its_beginning(counters: Counters) -> None:
    place = take(counters, 1, seconds=IN_FLIGHT).buckets[0]
    counters.correct([Correction(A, IN_FLIGHT, place, 1), Correction(A, IN_FLIGHT, place, 1)])
    assert says(counters, IN_FLIGHT) == 0
    counters.correct([Correction(A, IN_FLIGHT, place, -1)])
    assert says(counters, IN_FLIGHT) == 0
    assert take(counters, 1, seconds=IN_FLIGHT).taken
    assert not take(counters, 1, seconds=IN_FLIGHT).taken


def test_who_joins_anew_has_in_flight_what_it_says_and_nothing_from_before(counters: SharedCounters) -> None:
    last = take(counters, 9, 3, IN_FLIGHT).buckets[0]
    place = counters.join({A: 1, B: 2})
    assert counters.used([(A, IN_FLIGHT), (B, IN_FLIGHT)]) == [1, 2]
    counters.correct([Correction(A, IN_FLIGHT, last, 1), Correction(B, IN_FLIGHT, place, 1)])
    assert counters.used([(A, IN_FLIGHT), (B, IN_FLIGHT)]) == [1, 1]


def test_a_clock_that_is_put_back_neither_opens_nor_freezes_a_window(counters: Counters, clock: Clock) -> None:
    take(counters, 2)
    clock.now -= 30 * SECOND
    assert take(counters, 2).used == [1]
    assert not take(counters, 2).taken
    clock.now += 95 * SECOND
    assert take(counters, 2).taken
    clock.now -= 3600 * SECOND
    take(counters, 2)
    take(counters, 2)
    assert not take(counters, 2).taken
    clock.now += 62 * SECOND
    assert take(counters, 2).taken


def test_maintaining_keeps_all_that_counts(counters: Counters, clock: Clock) -> None:
    for seconds in (60, 3600, IN_FLIGHT):
        take(counters, 9, seconds=seconds)
    clock.now += 62 * SECOND
    counters.maintain()
    assert counters.used([(A, 60), (A, 3600), (A, IN_FLIGHT)]) == [0, 1, 1]
