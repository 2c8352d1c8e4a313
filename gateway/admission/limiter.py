"""The limits that count in the counters: a call takes its share of all that bear on it, or of none."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.model import Rate
from gateway.policy.book import LimitBook
from gateway.policy.limits import CONCURRENCY, Limit, typical
from gateway.policy.refusals import Shortage
from gateway.policy.subjects import Payer
from gateway.stores.counters import BUCKETS, Correction, Counters, Demand, Verdict

_LATELY = 100  # calls of one kind that a `firm` limit learns from
_KINDS = 4096  # of calls that are remembered, the latest

Bearing = Sequence[tuple[Limit, str]]  # limits, and whose balance a call moves of each


class NoRoom(Exception):
    """A limit has no room for a call.

    Args:
        shortage: of several, the limit that will refuse for longest.
        rates: how all limits stand that have headers.
        wait: seconds until all have room; 0 where only calls in flight stand in the way, infinite where it never fits.
    """

    def __init__(self, shortage: Shortage, rates: Sequence[Rate], wait: float) -> None:
        super().__init__(shortage.limit.subject.text)
        self.shortage = shortage
        self.rates = rates
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Share:
    """What a call has taken of one limit.

    Attributes:
        used: what the limit's counter said before.
        bucket: where it was counted.
    """

    limit: Limit
    instance: str
    demand: Demand
    used: int
    bucket: int

    def correction(self, back: int) -> Correction:
        """What gives some of it back."""
        return Correction(self.demand.counter, self.demand.seconds, self.bucket, back)


@dataclass(frozen=True, slots=True)
class Admission:
    """What a call has taken.

    Attributes:
        kind: what calls like this one have in common.
    """

    kind: tuple[str, str]
    shares: tuple[Share, ...] = ()

    @property
    def rates(self) -> list[Rate]:
        """How the limits stand that have headers."""
        return [_rate(share.limit, share.used, share.demand.amount) for share in self.shares if share.limit.headed]


class Limiter:
    """Admits calls.

    Args:
        counters: where it is counted.
        limits: those in force. Raises LedgerUnavailable.
        passed: is told of a limit that a call went past, as those may be that are not hard, and of how much is used.
    """

    def __init__(
        self,
        counters: Counters,
        limits: Callable[[], LimitBook],
        passed: Callable[[Limit, str, int], None],
    ) -> None:
        self._counters = counters
        self._limits = limits
        self._passed = passed
        self._lately: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()
        self._learning = threading.Lock()

    def bearing(self, payer: Payer) -> Bearing:
        """The limits that bear on a call. Raises LedgerUnavailable."""
        return self._limits().bearing(payer)

    def admit(self, payer: Payer, bearing: Bearing, target: str, requests: int, tokens: int, flies: bool) -> Admission:
        """Take a call's share of every limit.

        Args:
            bearing: the limits that bear on it.
            target: who is called.
            requests: what it counts as.
            tokens: the most that it can take.
            flies: it will be in flight; an answer that is not bought never is.

        Raises:
            NoRoom: nothing was taken.
        """
        kind = payer.key_id, target
        if not bearing:
            return Admission(kind)
        demands = []
        for limit, instance in bearing:
            amount = self._amount(limit, payer, kind, requests, tokens, flies)
            most = None if limit.mode == "soft" else limit.value
            demands.append(Demand(limit.counter(instance), limit.seconds, most, amount))
        verdict = self._counters.take(demands)
        if not verdict.taken:
            raise _no_room(bearing, demands, verdict)
        taken = zip(bearing, demands, verdict.used, verdict.buckets, strict=True)
        shares = [Share(limit, whose, demand, used, bucket) for (limit, whose), demand, used, bucket in taken]
        for share in shares:
            self._tell(share, share.used, share.used + share.demand.amount)
        return Admission(kind, tuple(shares))

    def release(self, admission: Admission, tokens: int) -> None:
        """Give back what a call that has ended did not take of its tokens, and its places among calls in flight."""
        if not admission.shares:
            return
        corrections, is_firm = [], False
        for share in admission.shares:
            amount, back = share.demand.amount, 0
            if share.limit.unit == CONCURRENCY:
                back = amount
            elif share.limit.unit == "tokens":
                back = amount - tokens
                self._tell(share, share.used + amount, share.used + tokens)
            if back:
                corrections.append(share.correction(back))
            is_firm = is_firm or share.limit.mode == "firm"
        if is_firm and tokens:  # failures and the cache teach nothing
            self._learn(admission.kind, tokens)
        if corrections:
            self._counters.correct(corrections)

    def undo(self, admission: Admission) -> None:
        """Give everything back, of a call that was not made."""
        self._counters.correct(
            [share.correction(share.demand.amount) for share in admission.shares if share.demand.amount]
        )

    def _amount(
        self, limit: Limit, payer: Payer, kind: tuple[str, str], requests: int, tokens: int, flies: bool
    ) -> int:
        if limit.unit == CONCURRENCY:
            return int(flies)
        if limit.unit == "requests":
            return 1 if limit.subject.names_a_fallback(payer) else requests
        learnt = typical(self._lately.get(kind, ())) if limit.mode == "firm" else None
        return tokens if learnt is None else min(tokens, learnt)

    def _learn(self, kind: tuple[str, str], tokens: int) -> None:
        with self._learning:
            self._lately.setdefault(kind, deque(maxlen=_LATELY)).append(tokens)
            self._lately.move_to_end(kind)
            while len(self._lately) > _KINDS:
                self._lately.popitem(last=False)

    def _tell(self, share: Share, before: int, after: int) -> None:
        if before <= share.limit.value < after:
            self._passed(share.limit, share.instance, after)


def _rate(limit: Limit, used: int, taken: int) -> Rate:
    """It resets when the bucket under way is forgotten."""
    return Rate(limit.unit, limit.value, used, taken, limit.seconds * (BUCKETS + 1) / BUCKETS)


def _no_room(bearing: Bearing, demands: Sequence[Demand], verdict: Verdict) -> NoRoom:
    now, short, rates, longest = time.time(), [], [], 0.0
    for (limit, instance), demand, used, wait in zip(bearing, demands, verdict.used, verdict.waits, strict=True):
        if limit.headed:
            rates.append(_rate(limit, used, 0))
        if wait:
            never = demand.amount > limit.value
            longest = max(longest, math.inf if never else 0.0 if limit.unit == CONCURRENCY else wait)
            resets = None if wait == math.inf else math.ceil(now + wait)
            short.append((never, resets or 0, Shortage(limit, instance, used, 0, demand.amount, resets)))
    return NoRoom(max(short, key=lambda one: one[:2])[2], rates, longest)
