"""Places: never more calls in flight than there are, none lost or doubled, and a fair share for each tenant."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.policy.places import Ask, Places, State

LONG = 1e9  # seconds to wait: nothing is hopeless


def asks(places: Places, tenant: str, count: int, now: float = 0.0) -> list[Ask]:
    return [places.ask(tenant, now) for _ in range(count)]


def count(asked: list[Ask], state: State) -> int:
    return sum(ask.state is state for ask in asked)


class Interleaved(RuleBasedStateMachine):
    """Three tenants ask, are let in, leave, give up waiting and leave twice, in any order and at any time."""

    @initialize(most=st.integers(1, 12), queue=st.integers(0, 5), seconds=st.sampled_from([0, 5, LONG]))
    def begin(self, most: int, queue: int, seconds: float) -> None:
        self.places, self.now = Places(most, queue, seconds), 0.0
        self.most, self.queue, self.patient = most, queue, seconds == LONG
        self.asked: list[Ask] = []
        self.told: list[Ask] = []

    def those(self, state: State, tenant: str | None = None) -> list[Ask]:
        return [ask for ask in self.asked if ask.state is state and tenant in (None, ask.tenant.name)]

    @rule(tenant=st.sampled_from("abc"), seconds=st.sampled_from([0, 0, 0.1, 3, 70]))
    def somebody_asks(self, tenant: str, seconds: float) -> None:
        self.now += seconds
        waiting = {name: len(self.those(State.WAITS, name)) for name in "abc"}
        ask = self.places.ask(tenant, self.now)
        if ask.state is State.WAITS:
            ask.told = lambda: self.told.append(ask)
        if ask.state is State.OUT and self.patient and self.queue:
            assert max(waiting.values()) <= waiting[tenant], "refused while a noisier one waits"
        self.asked.append(ask)

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), seconds=st.sampled_from([0, 0, 0.1, 3]))
    def somebody_leaves(self, data: st.DataObject, seconds: float) -> None:
        self.now += seconds
        ask = data.draw(st.sampled_from(self.asked))
        self.places.leave(ask, self.now)
        assert ask.state is State.OUT

    @invariant()
    def no_place_is_lost_or_doubled(self) -> None:
        if not hasattr(self, "places"):
            return
        assert self.places.in_flight == len(self.those(State.IN)) <= self.most
        assert self.places.waiting == len(self.those(State.WAITS)) <= self.queue
        assert len(self.told) == len(set(map(id, self.told))), "told twice"
        assert 1 <= self.places.retry_after(self.now) <= 60

    def teardown(self) -> None:
        for ask in self.asked:
            self.places.leave(ask, self.now + 100)
        again = [self.places.ask("z", self.now + 200).state for _ in range(self.most)] if self.asked else []
        assert set(again) <= {State.IN}, "a place was lost"


Interleaved.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestInterleaved = Interleaved.TestCase


def test_a_tenant_alone_may_have_all_places_and_then_waits() -> None:
    asked = asks(Places(10, 2, LONG), "a", 13)
    assert [count(asked, state) for state in (State.IN, State.WAITS, State.OUT)] == [10, 2, 1]


def test_a_tenant_leaves_room_as_soon_as_another_has_asked() -> None:
    places = Places(100, 1000, LONG)
    places.leave(places.ask("quiet", 0), 0)
    noisy = asks(places, "noisy", 500)
    assert count(noisy, State.IN) == 80
    assert count(asks(places, "quiet", 10), State.IN) == 10


def test_a_tenant_has_all_places_again_a_minute_after_the_other_last_asked() -> None:
    places = Places(10, 0, LONG)
    places.leave(places.ask("quiet", 0), 0)
    assert count(asks(places, "noisy", 20, now=59), State.IN) == 8
    assert count(asks(places, "noisy", 20, now=60), State.IN) == 2


def test_the_waiting_tenant_with_fewest_calls_in_flight_is_next_and_first_come_is_first_served_within_it() -> None:
    places = Places(3, 10, LONG)
    held = asks(places, "a", 2) + asks(places, "b", 1)
    noisy, (first, second) = asks(places, "a", 2), asks(places, "b", 2)
    places.leave(held[0], 1)
    assert [ask.state for ask in (*noisy, first, second)] == [State.IN, State.WAITS, State.WAITS, State.WAITS]
    places.leave(held[2], 1)
    assert [ask.state for ask in (noisy[1], first, second)] == [State.WAITS, State.IN, State.WAITS]


def test_where_the_queue_is_full_a_newcomer_takes_the_place_of_the_latest_of_whoever_waits_most() -> None:
    places = Places(1, 3, LONG)
    places.ask("a", 0)
    noisy = asks(places, "a", 3)
    told: list[int] = []
    noisy[2].told = lambda: told.append(2)
    newcomer = places.ask("b", 0)
    assert [ask.state for ask in (*noisy, newcomer)] == [State.WAITS, State.WAITS, State.OUT, State.WAITS]
    assert told == [2]
    assert places.ask("a", 0).state is State.OUT


def test_nobody_waits_where_too_few_places_became_free_lately() -> None:
    places = Places(4, 4, 5)
    held = asks(places, "a", 4)
    assert places.ask("a", 1).state is State.WAITS, "nobody knows yet"
    for ask in held[:2]:
        places.leave(ask, 6)
    places.ask("a", 6)
    waits = asks(places, "a", 4, now=12)
    assert count(waits, State.OUT) == 4, "none became free in five seconds"


def test_as_many_wait_as_places_became_free_lately() -> None:
    places = Places(4, 4, 5)
    held = asks(places, "a", 4)
    waiting = asks(places, "a", 2, now=4)
    for ask in held[:2]:
        places.leave(ask, 6)
    assert count(waiting, State.IN) == 2
    assert [count(asks(places, "a", 4, now=7), state) for state in (State.WAITS,)] == [2]


def test_a_refused_one_is_told_to_come_again_when_as_many_places_have_become_free_as_others_wait_for() -> None:
    places = Places(2, 2, 30)
    assert places.retry_after(0) == 30
    for second in range(3):
        places.leave(places.ask("a", second), second)
    assert places.retry_after(7) == 5
    asks(places, "a", 4, now=7)
    assert places.retry_after(7) == 7
    assert places.retry_after(1000) == 60


def test_a_worker_keeps_a_part_of_what_it_can_serve_to_refuse_with() -> None:
    places = Places(4000, 400, 5)
    places.fit(10_000)
    assert (places.most, places.queue) == (4000, 400)
    places.fit(200)
    assert (places.most, places.queue) == (160, 20)
    places.fit(1)
    assert (places.most, places.queue) == (1, 0)
