"""Who may be in flight: a bounded number of calls, a short queue before them, and a fair share of both for each tenant.

Nothing here waits, locks or looks at a clock; whoever shares it between threads does.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

_SHARE = 4  # times what is free: as much may a tenant hold (Choudhury and Hahne 1998)
_LATELY = 60.0  # seconds for which a tenant that asked is one to leave room for
_LONGEST_RETRY = 60  # seconds: SDKs take no notice of more

State = Enum("State", "WAITS IN OUT")


@dataclass(eq=False, slots=True)
class Ask:
    """A call that wants a place.

    Attributes:
        told: called when one that waited has got its place, or has lost it in the queue.
    """

    tenant: _Tenant
    state: State = State.OUT
    told: Callable[[], object] = lambda: None

    @property
    def is_in(self) -> bool:
        return self.state is State.IN


@dataclass(eq=False, slots=True)
class _Tenant:
    """What is known of a tenant; `entered` is when a call of it last had no need to wait."""

    name: str
    entered: float
    in_flight: int = 0
    waiting: deque[Ask] = field(default_factory=deque)


class Places:
    """As long as one tenant alone asks, it may have all places. Otherwise each may hold four times what is free, so
    that room is left for those who come. The waiting tenant with fewest calls in flight is next.

    Args:
        most: calls in flight.
        queue: calls that wait.
        seconds: how long one may wait.
    """

    def __init__(self, most: int, queue: int, seconds: float) -> None:
        self.seconds = seconds
        self._tenants: dict[str, _Tenant] = {}
        self._lately: OrderedDict[str, float] = OrderedDict()
        self._queued: dict[str, _Tenant] = {}
        self.in_flight = self.waiting = 0
        self._bound(most, queue)

    def fit(self, room: int) -> None:
        """Before the start: keep below what a worker can serve at once, so that some of it is left to refuse with."""
        self._bound(min(self.most, max(1, room * 8 // 10)), min(self.queue, room // 10))

    def _bound(self, most: int, queue: int) -> None:
        self.most, self.queue = most, queue
        self._freed: deque[float] = deque(maxlen=queue + 1)  # when places became free, as many as can matter

    def ask(self, tenant: str, now: float) -> Ask:
        """Ask for a place.

        Args:
            tenant: who pays for the call.
            now: monotonic seconds.

        Returns:
            It is in, waits, or is refused, which is out. It has to `leave` in any case.
        """
        its = self._tenants.get(tenant) or self._tenants.setdefault(tenant, _Tenant(tenant, now))
        self._lately[tenant] = now
        self._lately.move_to_end(tenant)
        ask = Ask(its)
        if not its.waiting and self._has_room(its, now):
            its.entered = now
            self._let_in(ask)
        elif self._may_expect(its, now) and self._makes_room(its):
            ask.state = State.WAITS
            its.waiting.append(ask)
            self._queued[tenant] = its
            self.waiting += 1
        return ask

    def leave(self, ask: Ask, now: float) -> None:
        """Give up what it has, if it has anything: its place, or its place in the queue."""
        if ask.state is State.IN:
            ask.tenant.in_flight -= 1
            self.in_flight -= 1
            self._freed.append(now)
        elif ask.state is State.WAITS:
            ask.tenant.waiting.remove(ask)
            self._left_queue(ask.tenant)
        ask.state = State.OUT
        self._serve(now)

    def retry_after(self, now: float) -> int:
        """Whole seconds in which as many places as calls wait for, and one more, are likely to become free."""
        behind = self.waiting + 1
        seconds = now - self._freed[-behind] if len(self._freed) >= behind else self.seconds
        return max(1, min(_LONGEST_RETRY, math.ceil(seconds)))

    def _serve(self, now: float) -> None:
        while self._queued:
            tenant = min(self._queued.values(), key=lambda one: one.in_flight)
            if not self._has_room(tenant, now):
                return
            ask = tenant.waiting.popleft()
            self._left_queue(tenant)
            self._let_in(ask)
            ask.told()

    def _let_in(self, ask: Ask) -> None:
        ask.state = State.IN
        ask.tenant.in_flight += 1
        self.in_flight += 1

    def _left_queue(self, tenant: _Tenant) -> None:
        self.waiting -= 1
        if not tenant.waiting:
            del self._queued[tenant.name]

    def _has_room(self, tenant: _Tenant, now: float) -> bool:
        free = self.most - self.in_flight
        return free > 0 and (tenant.in_flight < _SHARE * free or self._is_alone(tenant, now))

    def _is_alone(self, tenant: _Tenant, now: float) -> bool:
        while self._lately and next(iter(self._lately.values())) <= now - _LATELY:
            self._lately.popitem(last=False)
        return len(self._lately) <= (tenant.name in self._lately)

    def _may_expect(self, tenant: _Tenant, now: float) -> bool:
        """Whether as many places have become free lately as it would have to wait for; where a call of it went straight
        in a moment ago, nobody knows yet."""
        since = now - self.seconds
        if tenant.entered > since:
            return True
        before = sum(len(other.waiting) for other in self._queued.values() if other.in_flight <= tenant.in_flight)
        return len(self._freed) > before and self._freed[-1 - before] > since

    def _makes_room(self, tenant: _Tenant) -> bool:
        """Whether it may wait, if need be instead of the latest call of the tenant that has most of them waiting."""
        if self.waiting < self.queue:
            return True
        longest = max(self._queued.values(), key=lambda one: len(one.waiting), default=tenant)
        if len(longest.waiting) <= len(tenant.waiting):
            return False
        pushed = longest.waiting.pop()
        self._left_queue(longest)
        pushed.state = State.OUT
        pushed.told()
        return True
