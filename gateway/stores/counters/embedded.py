"""Counters of all workers of a host, in one LMDB environment: a call's demands are one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from gateway import process
from gateway.stores import StoreError
from gateway.stores.counters import IN_FLIGHT, Correction, Demand, Verdict, counting
from gateway.stores.counters.counting import Room
from gateway.stores.embedded import Environment, Full, Transaction, open_environment, peek
from gateway.stores.owners import Owners

T = TypeVar("T")

_MAP = 2**28  # bytes of addresses; a key with four windows that are busy all the time takes 5.5 kB
_FOR_WINDOWS = 0.7  # of them: past it all new windows of a period count together
_FOR_BUCKETS = 0.8  # past it those that are there take no more room
_USABLE = 0.9  # past it nothing is written: what is full could not even be emptied
_PLENTY = 0.5  # up to it there is room for all that is written until the next look
_LOOKED_AT = 16  # transactions from one look to the next
_PATIENCE = 0.25  # seconds that a writer waits for the others
_SWEPT = 1000  # records that one transaction looks at, some 1 ms
_SWEEPS = 4  # transactions of a turn
_LOOK = 0.1  # seconds between two looks for dead owners on account of refusals


class EmbeddedCounters:
    """Counters in a directory of this host.

    Args:
        data_dir: the directory of all embedded state.
        size: bytes that they may take at most.
        clock: nanoseconds of a clock that all processes of the host share and nobody can set.
    """

    living = 1  # how many workers a host has is not its to say

    def __init__(self, data_dir: Path, size: int = _MAP, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._data_dir = data_dir
        self._size = size
        self._clock = clock
        self._owners = Owners(data_dir, "slots")
        self._owner = bytes(16)
        self._place = 0
        self._process = 0
        self._looked = 0.0
        self._until_look = 0  # transactions that need not look for room
        self._swept = b""

    def join(self, in_flight: Mapping[bytes, int]) -> int:
        """Be a new owner, who has these calls in flight; what the last one had counts no more."""
        self._sweep()
        owners, again = Owners(self._data_dir, "slots"), self._process == process.number
        owner, place = bytes.fromhex(owners.claim()), self._place + 1

        def work(records: Transaction, room: Room) -> None:
            if again:  # what a fork has left is another's
                _remove(records, {self._owner})
            for counter, number in in_flight.items():
                record = records.get(counting.SLOTS + counter) or b""
                counting.put_owners(records, counter, {**counting.owners_of(record), owner: number})

        try:
            self._write(work)
        except StoreError:
            owners.release()
            raise
        if again:
            self._owners.release()
        self._owners, self._owner, self._place, self._process = owners, owner, place, process.number
        return place

    def take(self, demands: Sequence[Demand]) -> Verdict:
        verdict = self._take(demands)
        if not verdict.taken and _for_slots(demands, verdict) and self._due() and self._bury():
            return self._take(demands)
        return verdict

    def correct(self, corrections: Sequence[Correction]) -> None:
        self._write(
            lambda records, room: counting.correct(records, corrections, self._clock(), self._owner, self._place, room)
        )

    def used(self, asked: Sequence[tuple[bytes, int]]) -> list[int]:
        def work(records: Transaction) -> list[int]:
            return counting.used(records, asked, self._clock())

        if self._process == process.number:
            return self._env.read(work)
        return peek(self._data_dir, "counters", self._size, work) or [0] * len(asked)  # who only asks makes nothing

    def maintain(self) -> None:
        self._bury()
        for _ in range(_SWEEPS):
            if self._sweep():
                break

    def close(self) -> None:
        if self._process == process.number:
            self._write(lambda records, room: _remove(records, {self._owner}))
            self._owners.release()
            self._process = 0

    @cached_property
    def _env(self) -> Environment:
        """Opened in the worker, when first needed: an environment does not survive a fork."""
        return open_environment(self._data_dir, "counters", self._size, (), _PATIENCE)

    def _take(self, demands: Sequence[Demand]) -> Verdict:
        return self._write(
            lambda records, room: counting.take(records, demands, self._clock(), self._owner, self._place, room)
        )

    def _write(self, work: Callable[[Transaction, Room], T]) -> T:
        """Do `work` in a transaction, which is told what there is room for. Raises StoreError, also before the
        environment is full."""
        return self._env.write(lambda records: work(records, self._room(records)))

    def _room(self, records: Transaction) -> Room:
        """What there is room for. Raises Full."""
        if self._until_look:
            self._until_look -= 1
            return Room.WINDOWS
        tree = records.stat()
        used = (tree["leaf_pages"] + tree["branch_pages"]) * tree["psize"] / self._size
        if used > _USABLE:
            raise Full("there are too many counters")
        if used > _FOR_BUCKETS:
            return Room.NOTHING
        if used <= _PLENTY:
            self._until_look = _LOOKED_AT - 1
        return Room.BUCKETS if used > _FOR_WINDOWS else Room.WINDOWS

    def _due(self) -> bool:
        """Whether it is time for a look again: refusals must cost little."""
        now = time.monotonic()
        due = now - self._looked > _LOOK
        if due:
            self._looked = now
        return due

    def _bury(self) -> bool:
        """Forget the calls in flight of owners that are dead. Whether there were any."""
        known = self._env.read(lambda records: {owner for _, record in _slots(records) for owner in record})
        dead = self._owners.dead(owner.hex() for owner in known)
        if dead:
            self._env.write(lambda records: _remove(records, {bytes.fromhex(owner) for owner in dead}))
        for owner in dead:
            self._owners.forget(owner)
        return bool(dead)

    def _sweep(self) -> bool:
        """Delete some of what counts no more. Whether that was the last of it."""

        def look(records: Transaction) -> tuple[list[bytes], bytes]:
            found: list[bytes] = []
            now, cursor = self._clock(), records.cursor()
            if cursor.set_range(self._swept):
                for number, (key, record) in enumerate(cursor):
                    if number == _SWEPT:
                        return found, key
                    if counting.forgotten(key, record, now):
                        found.append(key)
            return found, b""

        def delete(records: Transaction) -> None:
            now = self._clock()
            for key in found:
                record = records.get(key)
                if record and counting.forgotten(key, record, now):
                    records.delete(key)

        found, self._swept = self._env.read(look)
        if found:
            self._env.write(delete)
        return not self._swept


def _for_slots(demands: Sequence[Demand], verdict: Verdict) -> bool:
    """Whether calls in flight are why a call was refused."""
    return any(demand.seconds == IN_FLIGHT and wait for demand, wait in zip(demands, verdict.waits, strict=True))


def _slots(records: Transaction) -> Iterable[tuple[bytes, dict[bytes, int]]]:
    """All counters of calls in flight that say anything, with their owners."""
    cursor = records.cursor()
    if cursor.set_range(counting.SLOTS):
        for key, record in cursor:
            if not key.startswith(counting.SLOTS):
                break
            yield key[len(counting.SLOTS) :], counting.owners_of(record)


def _remove(records: Transaction, gone: set[bytes]) -> None:
    """Take back the calls in flight of owners."""
    for counter, owners in list(_slots(records)):
        if gone & owners.keys():
            left = {owner: number for owner, number in owners.items() if owner not in gone}
            counting.put_owners(records, counter, left)
