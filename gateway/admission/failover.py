"""Counters that always answer: those that are shared, and this process's own for as long as the others are away.

Its own count everything from when they are needed, against the process's share of each limit. Calls in flight are
known all the time: its own begin with them, and when the shared ones are back, this process joins with them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from gateway import process
from gateway.stores import StoreError
from gateway.stores.counters import IN_FLIGHT, Correction, Demand, SharedCounters, Verdict
from gateway.stores.counters.local import LocalCounters

log = logging.getLogger(__name__)


class Failover:
    """Counters that raise nothing. Of its own the buckets are less than 0, by which corrections find their way, and
    what they say is told as if the other processes counted as much: so that the numbers fit the whole limits.

    Args:
        shared: what is asked as long as it works.
        share: among how many processes a limit is divided at least, while that is away.
        failed: is told of every failure.
        state: is told whether the shared ones work.
    """

    def __init__(
        self,
        shared: SharedCounters,
        share: Callable[[], int],
        failed: Callable[[], None],
        state: Callable[[bool], None],
    ) -> None:
        self._shared = shared
        self._share = share
        self._failed = failed
        self._state = state
        self._local = LocalCounters()
        self._in_flight: dict[bytes, int] = {}  # calls by counter; less than 0 where an end was told first
        self._own_place = 0  # of calls in flight in its own counters: another one each time that they are needed
        self._place = 0  # and in the shared ones: another one after each healing
        self._away = False
        self._closed = False
        self._lock = threading.Lock()  # never held while anything is waited for
        self._beginning = threading.Lock()
        self._process = 0

    def take(self, demands: Sequence[Demand]) -> Verdict:
        self._begin()
        while True:
            place = self._place
            if self._away:
                if verdict := self._take_locally(demands):
                    return verdict
                continue
            try:
                verdict = self._shared.take(demands)
            except StoreError as error:
                self._lost(error, place)
                continue
            if not verdict.taken or self._noted(demands, verdict):
                return verdict

    def correct(self, corrections: Sequence[Correction]) -> None:
        self._begin()
        own, shared = [], []
        with self._lock:
            place, away = self._place, self._away
            for each in corrections:
                if each.seconds == IN_FLIGHT:
                    self._fly(each.counter, -each.amount)
                    if away:
                        own.append(each._replace(bucket=self._own_place))
                    else:
                        shared.append(each if each.bucket == place else each._replace(bucket=place))
                elif each.bucket < 0:
                    own.append(each._replace(bucket=~each.bucket))
                else:
                    shared.append(each)
            if own:
                self._local.correct(own)
        if shared and not away:  # what is dropped counts until it is forgotten
            try:
                self._shared.correct(shared)
            except StoreError as error:
                self._lost(error, place)

    def used(self, asked: Sequence[tuple[bytes, int]]) -> list[int]:
        self._begin()
        place = self._place
        if not self._away:
            try:
                return self._shared.used(asked)
            except StoreError as error:
                self._lost(error, place)
        return [said * self._processes() for said in self._local.used(asked)]

    def maintain(self) -> None:
        self._begin()
        if self._closed:  # whoever has left is not known any more, and is not to join again
            return
        try:
            if self._away:
                self._join()
            self._shared.maintain()
        except StoreError as error:
            if not self._closed:
                self._lost(error, self._place)
        self._local.maintain()

    def close(self) -> None:
        if self._process == process.number:
            self._closed = True
            try:
                self._shared.close()
            except StoreError as error:
                log.warning("calls in flight cannot be taken back from the shared counters: %s", error)

    def _begin(self) -> None:
        """Join in this process; called again, it does nothing."""
        if self._process == process.number:
            return
        with self._beginning:
            if self._process == process.number:
                return
            self._local, self._in_flight, self._away, self._closed = LocalCounters(), {}, False, False
            try:
                self._join()
            except StoreError as error:
                self._lost(error, self._place)
            self._process = process.number

    def _join(self) -> None:
        """Count in the shared ones from now on, where the calls that are in flight now are in flight. Raises
        StoreError."""
        with self._lock:
            told = self._in_flight.copy()
        place = self._shared.join(told)
        with self._lock:
            really, back = self._in_flight.copy(), self._away
            self._place, self._away = place, False
        if back:
            log.info("the shared counters work again")
            self._state(True)
        since = {counter: told.get(counter, 0) - really.get(counter, 0) for counter in {*told, *really}}
        if owed := [Correction(counter, IN_FLIGHT, place, less) for counter, less in since.items() if less]:
            self._shared.correct(owed)

    def _lost(self, error: StoreError, place: int) -> None:
        """Do without the shared ones, unless this process has joined again since."""
        with self._lock:
            news = not self._away and self._place == place
            if news:
                self._away, self._own_place = True, self._local.join(self._in_flight)
        self._failed()
        if news:
            log.warning("the shared counters do not work, each process keeps to its share of the limits: %s", error)
            self._state(False)

    def _noted(self, demands: Sequence[Demand], verdict: Verdict) -> bool:
        """Whether calls in flight are noted as this process's own; not where they were taken before it joined again."""
        each = zip(demands, verdict.buckets, strict=True)
        slots = [(demand, place) for demand, place in each if demand.seconds == IN_FLIGHT and demand.amount]
        if not slots:
            return True
        with self._lock:
            for _, place in slots:
                if place != self._place:
                    return False
            for demand, _ in slots:
                self._fly(demand.counter, demand.amount)
                if self._away:
                    self._local.correct([Correction(demand.counter, IN_FLIGHT, self._own_place, -demand.amount)])
        return True

    def _fly(self, counter: bytes, more: int) -> None:
        """Know of more calls in flight, or of fewer."""
        number = self._in_flight.pop(counter, 0) + more
        if number:
            self._in_flight[counter] = number

    def _take_locally(self, demands: Sequence[Demand]) -> Verdict | None:
        """What its own say; None where the shared ones are back."""
        processes = self._processes()
        parts = [_part(demand, processes) for demand in demands]
        with self._lock:
            if not self._away:
                return None
            verdict = self._local.take(parts)
            for demand in demands:
                if verdict.taken and demand.seconds == IN_FLIGHT:
                    self._fly(demand.counter, demand.amount)
        used = [said * processes for said in verdict.used]
        return verdict._replace(used=used, buckets=[~bucket for bucket in verdict.buckets])

    def _processes(self) -> int:
        """How many share a limit."""
        return max(self._share(), self._shared.living)


def _part(demand: Demand, processes: int) -> Demand:
    return demand._replace(limit=max(1, demand.limit // processes)) if demand.limit else demand
