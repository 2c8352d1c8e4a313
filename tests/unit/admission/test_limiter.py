"""A call takes its share of every limit that bears on it, or of none, and gives back what it did not take."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.admission.limiter import Admission, Limiter, NoRoom
from gateway.policy.book import LimitBook
from gateway.policy.limits import Limit, parse_rate
from gateway.policy.subjects import Payer, Subject
from gateway.stores.counters.local import LocalCounters

PAYER = Payer("t", "k", "ann", ("m",))


class Limits:
    """A limiter of limits that are given as `SUBJECT RATE VALUE [MODE]`."""

    def __init__(self, *lines: str) -> None:
        self.limits = []
        for number, line in enumerate(lines):
            subject, rate, value, *mode = line.split()
            self.limits.append(
                Limit(number, Subject.parse(subject), *parse_rate(rate), (mode or ["hard"])[0], int(value))
            )
        self.passed: list[tuple[str, int]] = []
        self.counters = LocalCounters()
        self.limiter = Limiter(
            self.counters,
            lambda: LimitBook(False),
            lambda limit, instance, used: self.passed.append((limit.rate, used)),
        )

    def admit(self, tokens: int = 10, payer: Payer = PAYER, requests: int = 1, target: str = "up/m") -> Admission:
        bearing = [(limit, whose) for limit in self.limits if (whose := limit.subject.instance(payer)) is not None]
        return self.limiter.admit(payer, bearing, target, requests, tokens, flies=True)

    def used(self, payer: Payer = PAYER) -> list[int]:
        asked = [(limit.counter(limit.subject.instance(payer) or ""), limit.seconds) for limit in self.limits]
        return self.counters.used(asked)


def left(admission: Admission) -> Sequence[tuple[str, int]]:
    return [(rate.unit, rate.left) for rate in admission.rates]


def test_a_call_takes_of_all_limits_and_gives_back_what_it_did_not_take() -> None:
    limits = Limits("tenant:t requests/minute 5", "key:k tokens/hour 100", "global concurrency 2")
    admission = limits.admit(tokens=40)
    assert limits.used() == [1, 40, 1]
    assert left(admission) == [("requests", 4), ("tokens", 60)]
    limits.limiter.release(admission, tokens=13)
    assert limits.used() == [1, 13, 0]


def test_a_call_that_one_limit_refuses_takes_nothing_of_the_others() -> None:
    limits = Limits("tenant:t requests/minute 5", "key:k tokens/hour 100", "global concurrency 2")
    limits.admit(tokens=70)
    with pytest.raises(NoRoom) as refused:
        limits.admit(tokens=31)
    assert limits.used() == [1, 70, 1]
    shortage = refused.value.shortage
    assert (shortage.limit.rate, shortage.spent, shortage.amount) == ("tokens/hour", 70, 31)
    assert [(rate.unit, rate.left) for rate in refused.value.rates] == [("requests", 4), ("tokens", 30)]


def test_a_call_that_is_not_made_gives_everything_back() -> None:
    limits = Limits("tenant:t requests/minute 5", "key:k tokens/hour 100", "global concurrency 2")
    limits.limiter.undo(limits.admit())
    assert limits.used() == [0, 0, 0]


def test_of_several_limits_the_one_is_told_that_refuses_for_longest() -> None:
    limits = Limits("tenant:t requests/second 1", "tenant:t requests/hour 1", "tenant:t concurrency 1")
    limits.admit()
    with pytest.raises(NoRoom) as refused:
        limits.admit()
    assert refused.value.shortage.limit.rate == "requests/hour"
    never = Limits("tenant:t requests/hour 0", "tenant:t tokens/second 5")
    with pytest.raises(NoRoom) as refused:
        never.admit(tokens=6)
    assert refused.value.shortage.resets is None, "it never fits"


def test_a_fallback_is_a_request_of_its_own_model_and_no_second_one_of_others() -> None:
    limits = Limits("model:m requests/minute 5", "model:other requests/minute 5", "tenant:t requests/minute 5")
    limits.admit()
    limits.admit(payer=Payer("t", "k", "ann", ("m", "other")), requests=0)
    assert limits.used(Payer("t", "k", "ann", ("m", "other"))) == [1, 1, 1]


def test_soft_limits_refuse_nothing_and_tell_once_when_they_are_passed() -> None:
    limits = Limits("tenant:t requests/minute 2 soft")
    for _ in range(4):
        admission = limits.admit()
    assert limits.passed == [("requests/minute", 3)]
    assert admission.rates == [], "clients need not mind"


def test_firm_limits_hold_what_such_calls_lately_took() -> None:
    limits = Limits("tenant:t tokens/minute 1000 firm")
    for _ in range(8):
        admission = limits.admit(tokens=500)
        assert limits.used()[0] == 500 + 10 * _
        limits.limiter.release(admission, tokens=10)
    assert limits.admit(tokens=500).shares[0].demand.amount == 10
    assert limits.admit(tokens=500, target="up/another").shares[0].demand.amount == 500
    assert limits.admit(tokens=3).shares[0].demand.amount == 3, "never more than it can take"


def test_calls_that_took_nothing_teach_a_firm_limit_nothing() -> None:
    limits = Limits("tenant:t tokens/minute 1000 firm")
    for _ in range(20):  # from the cache, or refused by the provider
        limits.limiter.release(limits.admit(tokens=500), tokens=0)
    assert limits.admit(tokens=500).shares[0].demand.amount == 500


def test_what_a_call_took_beyond_what_it_held_is_counted_and_told() -> None:
    limits = Limits("tenant:t tokens/minute 100 firm")
    for _ in range(8):
        limits.limiter.release(limits.admit(tokens=10), tokens=1)
    admission = limits.admit(tokens=500)
    limits.limiter.release(admission, tokens=300)
    assert limits.used() == [308]
    assert limits.passed == [("tokens/minute", 308)]
    with pytest.raises(NoRoom):
        limits.admit(tokens=1)


def test_a_call_on_which_nothing_bears_takes_nothing() -> None:
    limits = Limits("tenant:other requests/minute 0")
    admission = limits.admit()
    assert admission.shares == ()
    limits.limiter.release(admission, tokens=10)
