"""Whatever happens, counters say what a list of all events would."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.stores.counters import IN_FLIGHT, Correction, Counters, Demand
from tests.unit.stores.counters.conftest import SECOND, Clock

PERIODS = (1, 60, 3600, IN_FLIGHT)
Event = tuple[int, int]  # its bucket, its amount


class Model:
    """Events by period, each bucket's in one; the oldest first.

    What has been seen to count no more is forgotten, and does not count again where the clock comes back to it.
    """

    def __init__(self) -> None:
        self.events: dict[int, dict[int, int]] = {seconds: {} for seconds in PERIODS}

    def counting(self, seconds: int, now: int) -> tuple[dict[int, int], int]:
        """What counts, and the bucket under way."""
        events = self.events[seconds]
        if seconds == IN_FLIGHT:
            return events, 0
        bucket = now * 60 // (seconds * SECOND)
        newest = max(events, default=bucket)
        if abs(newest - bucket) > 60:
            return {}, bucket
        bucket = max(newest, bucket)
        return {at: amount for at, amount in events.items() if at >= bucket - 60}, bucket

    def used(self, seconds: int, now: int) -> int:
        return max(0, sum(self.counting(seconds, now)[0].values()))

    def fits(self, demand: Demand, now: int) -> bool:
        room = demand.limit is None or self.used(demand.seconds, now) + demand.amount <= demand.limit
        return demand.amount == 0 or room

    def wait(self, demand: Demand, now: int) -> float:
        if self.fits(demand, now):
            return 0
        assert demand.limit is not None
        counting, _ = self.counting(demand.seconds, now)
        for bucket in sorted(counting) if demand.seconds else ():
            if sum(amount for at, amount in counting.items() if at > bucket) + demand.amount <= demand.limit:
                return (bucket + 61) * demand.seconds / 60 - now / SECOND
        return math.inf

    def count(self, seconds: int, bucket: int | None, amount: int, now: int) -> None:
        counting, newest = self.counting(seconds, now)
        at = newest if bucket is None else bucket
        if seconds == IN_FLIGHT:
            counting[at] = counting.get(at, 0) + amount
        elif at < newest - 60:
            return
        elif amount > 0 or at in counting:
            counting[at] = max(0, counting.get(at, 0) + amount)
        self.events[seconds] = counting

    def maintain(self, now: int) -> None:
        for seconds in PERIODS:
            if not self.counting(seconds, now)[0]:
                self.events[seconds] = {}


amounts = st.one_of(st.just(0), st.integers(1, 12))
demands = st.lists(
    st.builds(
        lambda seconds, limit, amount: Demand(b"", seconds, limit, amount),
        st.sampled_from(PERIODS), st.one_of(st.none(), st.integers(0, 20)), amounts,
    ), min_size=1, max_size=4, unique_by=lambda demand: demand.seconds,
)  # fmt: skip
steps = st.one_of(
    st.integers(0, SECOND // 20), st.integers(-90 * SECOND, 90 * SECOND), st.integers(-4000 * SECOND, 4000 * SECOND)
)
actions = st.lists(
    st.one_of(st.tuples(st.just("take"), demands), st.tuples(st.just("step"), steps), st.just(("maintain", None)),
              st.tuples(st.just("correct"), st.tuples(st.integers(0, 30), st.integers(-9, 15)))),
    min_size=2, max_size=25,
)  # fmt: skip


ONE = Demand(b"", 1, None, 1)


@example(actions=[("take", [ONE]), ("step", -2 * SECOND), ("maintain", None), ("step", 2 * SECOND)])
@example(actions=[("take", [ONE]), ("step", 2 * SECOND), ("maintain", None), ("step", -2 * SECOND)])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=actions)
def test_counters_say_what_a_list_of_events_says(
    actions: list[tuple[str, object]], counters: Counters, clock: Clock, seen: Callable[[], int]
) -> None:
    counter, model, taken = os.urandom(16), Model(), list[tuple[int, int]]()
    for kind, what in actions:
        now = seen()
        if kind == "step":
            clock.now += what  # type: ignore[operator]
        elif kind == "maintain":
            counters.maintain()
            model.maintain(now)
        elif kind == "correct" and taken:
            number, amount = what  # type: ignore[misc]
            seconds, bucket = taken[number % len(taken)]
            counters.correct([Correction(counter, seconds, bucket, amount)])
            model.count(seconds, bucket if seconds else 0, -amount, now)
        elif kind == "take":
            asked = [Demand(counter, each.seconds, each.limit, each.amount) for each in what]  # type: ignore[attr-defined]
            fits = all(model.fits(demand, now) for demand in asked)
            verdict = counters.take(asked)
            assert verdict.taken == fits
            assert list(verdict.used) == [model.used(demand.seconds, now) for demand in asked]
            for demand, wait, bucket in zip(asked, verdict.waits, verdict.buckets, strict=True):
                if demand.seconds:
                    assert bucket == model.counting(demand.seconds, now)[1]
                assert wait == 0 if fits else math.isclose(wait, model.wait(demand, now), abs_tol=2e-6)
                if fits and demand.amount:
                    model.count(demand.seconds, None, demand.amount, now)
                if fits:
                    taken.append((demand.seconds, bucket))
        now = seen()
        assert counters.used([(counter, seconds) for seconds in PERIODS]) == [
            model.used(seconds, now) for seconds in PERIODS
        ]
