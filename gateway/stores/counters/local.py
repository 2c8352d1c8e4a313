"""Counters of this process alone, for as long as those that it shares with others are away."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from gateway.stores.counters import Correction, Demand, Verdict, counting
from gateway.stores.counters.counting import Room

_MOST = 50_000  # windows, 60 MB if all were busy all the time
_SWEPT = 2000  # windows that a turn looks at, some 2 ms
_A_FEW = 8  # that a call looks at where there is no room
_OWNER = bytes(16)


class LocalCounters:
    """Counters in memory.

    Args:
        most: how many windows there may be; past them all new ones of a period count together.
        clock: nanoseconds of a clock that nobody can set.
    """

    living = 1

    def __init__(self, most: int = _MOST, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._records = _Memory()
        self._place = 0

    def join(self, in_flight: Mapping[bytes, int]) -> int:
        with self._lock:
            self._records.slots.clear()
            for counter, number in in_flight.items():
                counting.put_owners(self._records, counter, {_OWNER: number})
            self._place += 1
            return self._place

    def take(self, demands: Sequence[Demand]) -> Verdict:
        with self._lock:
            return counting.take(self._records, demands, self._clock(), _OWNER, self._place, self._room())

    def correct(self, corrections: Sequence[Correction]) -> None:
        with self._lock:
            counting.correct(self._records, corrections, self._clock(), _OWNER, self._place, self._room())

    def used(self, asked: Sequence[tuple[bytes, int]]) -> list[int]:
        with self._lock:
            return counting.used(self._records, asked, self._clock())

    def maintain(self) -> None:
        with self._lock:
            self._sweep(_SWEPT)

    def close(self) -> None:
        self.join({})

    def _room(self) -> Room:
        """What there is room for, once some of what counts no more is gone."""
        if len(self._records.windows) >= self._most:
            self._sweep(_A_FEW)
        return Room.WINDOWS if len(self._records.windows) < self._most else Room.BUCKETS

    def _sweep(self, number: int) -> None:
        """Drop what counts no more of this many windows, other ones each time."""
        now, windows = self._clock(), self._records.windows
        for key in list(islice(windows, number)):
            if counting.forgotten(key, windows[key], now):
                del windows[key]
            else:
                windows.move_to_end(key)


class _Memory:
    """Records of both kinds."""

    def __init__(self) -> None:
        self.windows: OrderedDict[bytes, bytes] = OrderedDict()
        self.slots: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._of(key).get(key)

    def put(self, key: bytes, value: bytes | bytearray) -> None:
        self._of(key)[key] = bytes(value)

    def delete(self, key: bytes) -> None:
        self._of(key).pop(key, None)

    def _of(self, key: bytes) -> dict[bytes, bytes]:
        return self.slots if key.startswith(counting.SLOTS) else self.windows
