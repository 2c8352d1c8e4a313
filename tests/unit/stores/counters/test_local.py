"""What this process counts alone takes no more memory than it may."""

from __future__ import annotations

from gateway.stores.counters import IN_FLIGHT, Demand
from gateway.stores.counters import local as module
from gateway.stores.counters.local import LocalCounters
from tests.unit.stores.counters.conftest import SECOND, Clock


def test_with_too_many_windows_the_oldest_go_and_no_calls_in_flight(clock: Clock) -> None:
    counters = LocalCounters(most=10, clock=clock)
    for number in range(30):
        counters.take([Demand(number.to_bytes(16), seconds, 9, 1) for seconds in (IN_FLIGHT, 60)])
    assert sum(counters.used([(number.to_bytes(16), 60) for number in range(30)])) == 10
    assert counters.used([((29).to_bytes(16), 60)]) == [1]
    assert len(counters.in_flight()) == 30


def test_what_counts_no_more_is_dropped_turn_by_turn(clock: Clock) -> None:
    counters = LocalCounters(clock=clock)
    for number in range(module._SWEPT * 2):
        counters.take([Demand(number.to_bytes(16), 60 if number % 2 else 3600, 9, 1)])
    clock.now += 62 * SECOND
    counters.maintain()
    assert len(counters._records.windows) == module._SWEPT * 1.5
    counters.maintain()
    assert len(counters._records.windows) == module._SWEPT
