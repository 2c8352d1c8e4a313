"""A breaker's steps, whatever their order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.board import SECOND
from gateway.routing.breaker import LONGEST, Breaker, mark

FAILURES, OPEN = 3, 2.0
ANN, BOB = mark("ann"), mark("bob")
Event = tuple[str, float]

events = st.lists(
    st.tuples(st.sampled_from(["call", "fails", "answers", "probe fails", "probe answers"]), st.floats(0, 40)),
    max_size=60,
)


def opened(now: int = 0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker = breaker.failed(now, ANN, False, FAILURES, OPEN)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row_and_not_before() -> None:
    twice = Breaker().failed(0, ANN, False, FAILURES, OPEN).failed(0, ANN, False, FAILURES, OPEN)
    assert twice.closed
    assert twice.succeeded(ANN, False) == Breaker(), "an answer between them and they are no longer in a row"
    assert (opened().closed, opened().wait(0, ANN)) == (False, OPEN)


def test_a_probe_that_answers_closes_it_and_one_that_fails_doubles_its_time_up_to_the_longest() -> None:
    breaker, now, times = opened(), 0, []
    for _ in range(6):
        now += int(breaker.wait(now, ANN) * SECOND)
        breaker = breaker.let_through(now).failed(now, ANN, True, FAILURES, OPEN)
        times.append(breaker.wait(now, BOB))
    assert times == [4, 8, 16, LONGEST, LONGEST, LONGEST]
    assert breaker.let_through(now).succeeded(ANN, True) == Breaker()


def test_calls_that_were_under_way_when_it_opened_change_nothing() -> None:
    assert opened().succeeded(ANN, False) == opened()
    assert opened().failed(SECOND, ANN, False, FAILURES, OPEN) == opened()


def test_there_is_one_probe_at_a_time_however_late_it_fails() -> None:
    breaker = opened().let_through(2 * SECOND)
    assert breaker.wait(8 * SECOND, ANN) > 0, "the probe is still under way"
    assert breaker.failed(8 * SECOND, ANN, True, FAILURES, OPEN).wait(8 * SECOND, BOB) == 2 * OPEN


def test_an_answer_that_only_began_is_none_when_the_next_failure_counts() -> None:
    breaker = opened().let_through(2 * SECOND).answering(FAILURES)
    assert breaker.closed
    assert not breaker.failed(3 * SECOND, ANN, False, FAILURES, OPEN).closed, "it broke off"
    assert breaker.succeeded(ANN, False) == Breaker(), "it ended well"
    assert Breaker().answering(FAILURES) == Breaker(), "nor does a late probe count against one that is closed"


def test_probes_that_do_not_come_back_are_followed_by_fewer_and_fewer() -> None:
    breaker, now, times = opened(), 0, []
    for _ in range(6):
        now += int(breaker.wait(now, ANN) * SECOND)
        breaker = breaker.let_through(now)
        times.append(breaker.wait(now, ANN))
    assert times == [10, 10, 10, 16, LONGEST, LONGEST]


def test_a_clock_that_was_put_back_does_not_keep_it_open() -> None:
    assert opened(now=10_000 * SECOND).wait(SECOND, ANN) == 0


@settings(max_examples=300, deadline=None)
@given(events)
def test_it_never_lets_two_through_in_an_interval_and_never_waits_longer_than_the_longest(told: list[Event]) -> None:
    breaker, now, let_through, interval = Breaker(), 0, -(10**18), 0.0
    for event, seconds in told:
        now += int(seconds * SECOND)
        assert Breaker.read(breaker.write()) == breaker
        assert 0 <= breaker.wait(now, BOB) <= LONGEST
        if event == "call" and not breaker.closed and not breaker.wait(now, BOB):
            assert now - let_through >= int(interval * SECOND), "one probe an interval"
            was_closed = breaker.closed
            breaker = breaker.let_through(now)
            assert not was_closed, "only an open one has probes"
            let_through, interval = now, breaker.seconds
        elif event.endswith("fails"):
            before = breaker
            breaker = breaker.failed(now, ANN, event.startswith("probe"), FAILURES, OPEN)
            assert before.closed or not breaker.closed, "a failure closes nothing"
        elif event.endswith("answers"):
            breaker = breaker.succeeded(ANN, event.startswith("probe"))
        if breaker.closed:
            let_through = -(10**18)
            assert breaker.failures < FAILURES


def test_failures_that_are_all_one_tenants_open_it_for_that_one_alone_until_as_many_of_others_have_failed() -> None:
    breaker = opened()
    assert (breaker.closed_for(ANN), breaker.closed_for(BOB)) == (False, True)
    assert breaker.succeeded(BOB, False).closed_for(ANN) is False, "what others are answered changes nothing"
    for _ in range(FAILURES - 1):
        breaker = breaker.failed(0, BOB, False, FAILURES, OPEN)
    assert breaker.closed_for(BOB), "one failure of another's proves little"
    assert breaker.failed(0, BOB, False, FAILURES, OPEN).wait(0, BOB) == OPEN
    answered = breaker.succeeded(BOB, False).failed(0, BOB, False, FAILURES, OPEN)
    assert answered.closed_for(BOB), "they were not in a row"


def test_a_tenant_whose_probe_failed_lets_others_try_first() -> None:
    breaker = Breaker()
    for tenant in (ANN, BOB, ANN):
        breaker = breaker.failed(0, tenant, False, FAILURES, OPEN)
    failed = breaker.let_through(2 * SECOND).failed(2 * SECOND, ANN, True, FAILURES, OPEN)
    assert (failed.wait(2 * SECOND, BOB), failed.wait(2 * SECOND, ANN)) == (4, 4.5)
    assert failed.let_through(6 * SECOND).failed(6 * SECOND, BOB, True, FAILURES, OPEN).wait(6 * SECOND, ANN) == 8


def test_failures_of_several_tenants_open_it_for_all() -> None:
    breaker = Breaker()
    for tenant in (ANN, BOB, ANN):
        breaker = breaker.failed(0, tenant, False, FAILURES, OPEN)
    assert not breaker.closed_for(mark("carl"))


def test_a_tenant_whose_probe_came_to_nothing_lets_others_try_first() -> None:
    now = 2 * SECOND
    sent = opened().let_through(now).came_to_nothing(now, ANN, was_sent=True)
    assert (sent.wait(now, BOB), sent.wait(now, ANN)) == (2, 2.5), "there was one in this interval"
    not_sent = opened().let_through(now).came_to_nothing(now, ANN, was_sent=False)
    assert (not_sent.wait(now, BOB), not_sent.wait(now, ANN)) == (0, 0.5)
    assert not_sent.let_through(now + 2 * SECOND).seconds == 2, "and it has not failed"


def test_what_nobody_wrote_is_a_new_one() -> None:
    assert Breaker.read(b"garbage") == Breaker.read(b"\xff" * 25) == Breaker()
