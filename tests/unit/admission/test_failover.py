"""A call always gets a verdict, from the shared counters or from this process's own, and its correction finds its way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import process
from gateway.admission.failover import Failover
from gateway.stores import StoreError
from gateway.stores.counters import IN_FLIGHT, Correction, Demand, Verdict
from gateway.stores.counters.local import LocalCounters

A, B = b"a" * 16, b"b" * 16
CALL = (Demand(A, 60, 100, 10), Demand(A, IN_FLIGHT, 100, 1))


class Shared(LocalCounters):
    """Shared counters that fail where they are told to."""

    living = 1

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.deaf = False  # it does as it is asked, but its answer is lost
        self.asked = 0
        self.meanwhile: Callable[[], object] = lambda: None  # happens once, before the next answer

    def answer(self, work: Callable[[], Any]) -> Any:
        self.asked += 1
        if self.down:
            raise StoreError("down")
        done = work()
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        if self.deaf:
            raise StoreError("no answer")
        return done

    def join(self, in_flight: Mapping[bytes, int]) -> int:
        return self.answer(lambda: super(Shared, self).join(in_flight))

    def take(self, demands: Sequence[Demand]) -> Verdict:
        return self.answer(lambda: super(Shared, self).take(demands))

    def correct(self, corrections: Sequence[Correction]) -> None:
        self.answer(lambda: super(Shared, self).correct(corrections))

    def used(self, asked: Sequence[tuple[bytes, int]]) -> list[int]:
        return self.answer(lambda: super(Shared, self).used(asked))

    def maintain(self) -> None:
        self.answer(lambda: None)

    def close(self) -> None:
        self.answer(lambda: None)


class Case:
    def __init__(self) -> None:
        self.shared = Shared()
        self.failures, self.states = 0, list[bool]()
        self.counters = Failover(self.shared, lambda: self.share(), self._failed, self.states.append)

    def share(self) -> int:
        return 4

    def _failed(self) -> None:
        self.failures += 1

    def in_flight(self, counter: bytes = A) -> int:
        """As the shared ones know them."""
        return LocalCounters.used(self.shared, [(counter, IN_FLIGHT)])[0]

    def window(self) -> int:
        return LocalCounters.used(self.shared, [(A, 60)])[0]


@pytest.fixture
def case() -> Case:
    return Case()


def end(case: Case, verdict: Verdict, back: int = 0) -> None:
    """End a call, and give some of what it took back."""
    window, slot = verdict.buckets
    case.counters.correct([Correction(A, 60, window, back), Correction(A, IN_FLIGHT, slot, 1)])


def heal(case: Case) -> None:
    case.shared.down = case.shared.deaf = False
    case.counters.maintain()
    assert not case.states or case.states[-1]


def test_what_works_is_asked_and_nothing_else(case: Case) -> None:
    verdict = case.counters.take(CALL)
    assert (case.window(), case.in_flight()) == (10, 1)
    end(case, verdict, 4)
    assert (case.window(), case.in_flight()) == (6, 0)
    assert case.counters.used([(A, 60)]) == [6]
    assert (case.failures, case.states) == (0, [])


@pytest.mark.parametrize(("limit", "living", "admitted"), [(8, 1, 2), (9, 3, 2), (80, 20, 4), (3, 1, 1), (0, 1, 0)])
def test_while_they_are_away_a_process_has_its_share(limit: int, living: int, admitted: int, case: Case) -> None:
    case.counters.take(CALL)
    case.shared.down, case.shared.living = True, living
    taken = [case.counters.take([Demand(B, 60, limit, 1)]).taken for _ in range(10)]
    assert taken == [True] * admitted + [False] * (10 - admitted)


def test_where_there_is_no_limit_there_is_none_while_they_are_away(case: Case) -> None:
    case.shared.down = True
    assert all(case.counters.take([Demand(B, 60, None, 10**6)]).taken for _ in range(5))
    assert case.counters.used([(B, 60)]) == [4 * 5 * 10**6], "as if the other three had counted as much"


def test_a_refusal_by_its_share_is_told_in_numbers_that_fit_the_whole_limit(case: Case) -> None:
    case.shared.down = True
    asked = [case.counters.take([Demand(B, 60, 40, 1)]) for _ in range(11)]
    assert [verdict.taken for verdict in asked] == [True] * 10 + [False]
    assert asked[-1].used == [40]


def test_nobody_asks_them_while_they_are_away_but_for_the_one_who_maintains(case: Case) -> None:
    case.shared.down = True
    verdict = case.counters.take(CALL)
    asked = case.shared.asked
    for _ in range(20):
        end(case, verdict)
        verdict = case.counters.take(CALL)
        case.counters.used([(A, 60)])
    assert case.shared.asked == asked
    case.counters.maintain()
    assert case.shared.asked > asked


def test_going_and_coming_back_are_told_once_each(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case.counters.take(CALL)
    case.shared.down = True
    for _ in range(3):
        case.counters.take(CALL)
        case.counters.maintain()
    heal(case)
    case.counters.maintain()
    assert case.states == [False, True]
    assert case.failures >= 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_a_failure_from_before_they_were_back_does_not_send_them_away_again(case: Case) -> None:
    verdict = case.counters.take(CALL)

    def away_and_back() -> None:
        case.shared.down = True
        case.counters.take(CALL)
        heal(case)
        case.shared.deaf = True

    case.shared.meanwhile = away_and_back
    end(case, verdict)
    assert (case.failures, case.states) == (2, [False, True])


def test_a_correction_goes_where_it_was_counted(case: Case) -> None:
    shared = case.counters.take(CALL)
    case.shared.down = True
    own = case.counters.take(CALL)
    end(case, shared, 10)
    assert case.counters.used([(A, 60)]) == [4 * 10], "it is not taken from its own"
    heal(case)
    end(case, own, 10)
    assert case.window() == 10, "what could not be given back counts until it is forgotten"
    case.shared.down = True
    assert case.counters.used([(A, 60)]) == [0]


def test_calls_in_flight_are_its_own_in_both(case: Case) -> None:
    calls = [case.counters.take(CALL) for _ in range(3)]
    case.shared.down = True
    assert not case.counters.take([Demand(A, IN_FLIGHT, 12, 1)]).taken, "3 of its share are in flight"
    end(case, calls.pop())
    assert case.counters.take([Demand(A, IN_FLIGHT, 12, 1)]).taken
    heal(case)
    assert case.in_flight() == 3


def test_calls_that_begin_and_end_while_it_joins_are_told_too(case: Case) -> None:
    calls = [case.counters.take(CALL) for _ in range(3)]
    case.shared.down = True
    calls.append(case.counters.take(CALL))

    def meanwhile() -> None:
        case.counters.take([Demand(B, IN_FLIGHT, 100, 1)])
        end(case, calls[0])
        end(case, calls[3])

    case.shared.meanwhile = meanwhile
    heal(case)
    assert (case.in_flight(A), case.in_flight(B)) == (2, 1)


def test_a_call_that_was_taken_while_this_process_joined_again_is_in_flight_once(case: Case) -> None:
    case.counters.take(CALL)

    def away_and_back() -> None:
        case.shared.down = True
        case.counters.take([Demand(B, 60, 100, 1)])
        heal(case)

    case.shared.meanwhile = away_and_back
    verdict = case.counters.take(CALL)
    assert case.in_flight() == 2
    end(case, verdict)
    assert case.in_flight() == 1


def test_who_is_on_the_way_to_its_own_when_they_are_back_asks_them(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.shared.down = True
    case.counters.take([Demand(B, 60, 100, 1)])
    monkeypatch.setattr(case, "share", lambda: heal(case) or 4)
    verdict = case.counters.take(CALL)
    assert case.in_flight() == 1
    end(case, verdict)
    assert case.in_flight() == 0


def test_each_process_joins_by_itself(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.counters.take(CALL)
    monkeypatch.setattr(process, "number", 1)
    case.counters.take(CALL)
    assert case.in_flight() == 1, "calls of another process are none of its own"


def test_they_may_be_away_from_the_beginning_and_at_the_end(case: Case) -> None:
    case.shared.down = True
    assert case.counters.take(CALL).taken
    assert case.states == [False]
    heal(case)
    assert case.in_flight() == 1
    case.shared.down = True
    case.counters.close()


def test_whoever_has_left_neither_misses_them_nor_joins_again(case: Case) -> None:
    case.counters.take(CALL)
    case.counters.close()
    case.shared.down, asked = True, case.shared.asked
    case.counters.maintain()
    assert case.shared.asked == asked
    assert (case.failures, case.states) == (0, [])


def test_leaving_while_they_are_asked_is_no_failure(case: Case) -> None:
    case.counters.take(CALL)
    case.shared.meanwhile, case.shared.deaf = case.counters.close, True
    case.counters.maintain()
    assert (case.failures, case.states) == (0, [])


actions = st.lists(
    st.sampled_from(["take", "take", "end", "end", "down", "deaf", "heal", "begin meanwhile", "end meanwhile"]),
    max_size=40,
)


@given(actions=actions)
def test_whatever_fails_when_calls_in_flight_are_right_once_they_are_back(actions: list[str]) -> None:
    case, calls = Case(), list[Verdict]()
    case.counters.maintain()

    def begin() -> None:
        verdict = case.counters.take([Demand(A, 60, None, 1), Demand(A, IN_FLIGHT, None, 1)])
        assert verdict.taken
        calls.append(verdict)

    def finish() -> None:
        if calls:
            end(case, calls.pop(len(calls) // 2))

    for action in actions:
        if action in ("take", "end"):
            begin() if action == "take" else finish()
        elif action in ("down", "deaf"):
            setattr(case.shared, action, True)
        elif action == "heal":
            heal(case)
        else:
            case.shared.meanwhile = begin if action == "begin meanwhile" else finish
    heal(case)
    heal(case)
    assert case.in_flight() == len(calls)
