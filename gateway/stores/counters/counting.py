"""What embedded and local counters have in common: records of bytes, and what a call does to them.

A window's record is what counts in all, then each bucket with its amount, the oldest first. A record of calls in flight
is each owner with its number, which may be less than 0 for a moment: where a call's end is told before its beginning.

Where there is no room for another window, all new ones of a period count together, in one record: each says too much
then and never too little, and those that have a record of their own keep it, whoever it is that takes the room.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Protocol

from gateway.stores.counters import BUCKETS, IN_FLIGHT, Correction, Demand, Verdict

SECOND = 1_000_000_000  # nanoseconds
SLOTS = IN_FLIGHT.to_bytes(4)  # how the keys of calls in flight begin

_TOTAL = struct.Struct("<Q")
_BUCKET = struct.Struct("<QQ")  # which, and its amount
_SLOT = struct.Struct("<16sq")  # whose, and how many

_TOGETHER = 1 << 62  # in a verdict's bucket: of the window that all new ones share
_NOBODYS = b""  # in place of a counter, the one whose window that is


class Records(Protocol):
    """Where records are, for the length of a transaction."""

    def get(self, key: bytes, /) -> bytes | None: ...

    def put(self, key: bytes, value: bytes | bytearray, /) -> object: ...

    def delete(self, key: bytes, /) -> object: ...


class Room(IntEnum):
    """What there is room for; for calls in flight there always is."""

    NOTHING = 0  # a window that is there counts in the buckets that it has
    BUCKETS = 1
    WINDOWS = 2


def take(records: Records, demands: Sequence[Demand], now: int, owner: bytes, place: int, room: Room) -> Verdict:
    """Count all demands, or none of them.

    Args:
        records: where.
        demands: what a call asks for.
        now: nanoseconds.
        owner: whose its call in flight is: 16 bytes.
        place: what the verdict says in place of that one's bucket.
        room: what there is room for.
    """
    found, used, told, taken = [], [], [], True
    windows: dict[bytes, bytearray] = {}  # those of one call may be one
    for demand in demands:
        key, record = _find(records, demand.counter, demand.seconds, room)
        if demand.seconds:
            window, bucket = _window(record, _bucket(now, demand.seconds))
            kept = windows.setdefault(key, window)
            (said,) = _TOTAL.unpack_from(kept)
        else:
            kept, bucket, said = bytearray(record or b""), place, _in_flight(record)
        found.append((key, kept, bucket))
        used.append(said)
        told.append(bucket | _TOGETHER if _shared(key) else bucket)
        if demand.limit is not None and demand.amount and said + demand.amount > demand.limit:
            taken = False
    if not taken:
        waits = [
            _wait(demand, kept, said, now) for demand, (_, kept, _), said in zip(demands, found, used, strict=True)
        ]
        return Verdict(False, used, waits, told)
    for demand, (key, kept, bucket) in zip(demands, found, strict=True):
        if demand.amount and demand.seconds:
            _count(kept, bucket, demand.amount, room or _shared(key))
            records.put(key, kept)
        elif demand.amount:
            _count_slots(records, demand.counter, kept, owner, demand.amount)
    return Verdict(True, used, [0.0] * len(used), told)


def correct(
    records: Records,
    corrections: Sequence[Correction],
    now: int,
    owner: bytes,
    place: int,
    room: Room,
) -> None:
    """Take back what still counts; of calls in flight, what was counted at `place`."""
    for correction in corrections:
        if correction.seconds:
            _correct_window(records, correction, now, room)
        elif correction.bucket == place:
            record = records.get(SLOTS + correction.counter) or b""
            _count_slots(records, correction.counter, record, owner, -correction.amount)


def used(records: Records, asked: Sequence[tuple[bytes, int]], now: int) -> list[int]:
    """What counters say."""
    return [_said(_find(records, counter, seconds, Room.WINDOWS)[1], seconds, now) for counter, seconds in asked]


def forgotten(key: bytes, record: bytes, now: int) -> bool:
    """Whether nothing of a record counts any more."""
    seconds = int.from_bytes(key[:4])
    return seconds != IN_FLIGHT and len(_window(record, _bucket(now, seconds))[0]) == _TOTAL.size


def owners_of(record: bytes | bytearray) -> dict[bytes, int]:
    """Whose calls are in flight, and how many."""
    return dict(_SLOT.iter_unpack(record))


def put_owners(records: Records, counter: bytes, owners: Mapping[bytes, int]) -> None:
    """Write down whose calls are in flight."""
    record = b"".join(_SLOT.pack(owner, number) for owner, number in owners.items() if number)
    if record:
        records.put(SLOTS + counter, record)
    else:
        records.delete(SLOTS + counter)


def _correct_window(records: Records, correction: Correction, now: int, room: Room) -> None:
    if correction.bucket & _TOGETHER:
        key = _key(_NOBODYS, correction.seconds)
        record = records.get(key)
    elif correction.amount > 0:
        key = _key(correction.counter, correction.seconds)
        record = records.get(key)  # what others have counted is not its to give back
    else:
        key, record = _find(records, correction.counter, correction.seconds, room)
    bucket = correction.bucket & ~_TOGETHER
    kept, newest = _window(record, _bucket(now, correction.seconds))
    if bucket >= newest - BUCKETS:
        _count(kept, bucket, -correction.amount, room or _shared(key))
        if len(kept) > _TOTAL.size:
            records.put(key, kept)


def _find(records: Records, counter: bytes, seconds: int, room: Room) -> tuple[bytes, bytes | None]:
    """Where a counter is, and its record. A new window begins with what all new ones have counted together, if they
    have: some of that may be its own."""
    key = _key(counter, seconds)
    record = records.get(key)
    if record or seconds == IN_FLIGHT:
        return key, record
    together = _key(_NOBODYS, seconds)
    return key if room is Room.WINDOWS else together, records.get(together)


def _key(counter: bytes, seconds: int) -> bytes:
    return seconds.to_bytes(4) + counter


def _shared(key: bytes) -> bool:
    return len(key) == len(SLOTS)


def _bucket(now: int, seconds: int) -> int:
    return now * BUCKETS // (seconds * SECOND)


def _said(record: bytes | None, seconds: int, now: int) -> int:
    if seconds == IN_FLIGHT:
        return _in_flight(record)
    said: int = _TOTAL.unpack_from(_window(record, _bucket(now, seconds))[0])[0]
    return said


def _in_flight(record: bytes | None) -> int:
    return sum(number for _, number in _SLOT.iter_unpack(record) if number > 0) if record else 0


def _count_slots(records: Records, counter: bytes, record: bytes | bytearray, owner: bytes, amount: int) -> None:
    owners = owners_of(record)
    owners[owner] = owners.get(owner, 0) + amount
    put_owners(records, counter, owners)


def _window(record: bytes | None, bucket: int) -> tuple[bytearray, int]:
    """A copy of a record without what counts no more, and the bucket under way: the newest one that is there where the
    clock was put back since, but for more than a period, after which it counts anew."""
    if not record:
        return bytearray(_TOTAL.size), bucket
    newest, _ = _BUCKET.unpack_from(record, len(record) - _BUCKET.size)
    if not bucket - BUCKETS <= newest <= bucket + BUCKETS:
        return bytearray(_TOTAL.size), bucket
    kept, at, gone, bucket = bytearray(record), _TOTAL.size, 0, max(bucket, newest)
    oldest, amount = _BUCKET.unpack_from(kept, at)
    while oldest < bucket - BUCKETS:
        gone += amount
        at += _BUCKET.size
        oldest, amount = _BUCKET.unpack_from(kept, at)
    if gone or at > _TOTAL.size:
        _TOTAL.pack_into(kept, 0, _TOTAL.unpack_from(kept)[0] - gone)
        del kept[_TOTAL.size : at]
    return kept, bucket


def _count(window: bytearray, bucket: int, amount: int, grow: bool | int) -> None:
    """Count more in a bucket, or less where `amount` is less than 0, but never less than nothing. A window that may not
    grow counts what is more in its newest bucket, all of which counts for longer then."""
    at = len(window)
    there = counted = 0
    while at > _TOTAL.size and (at == len(window) or there > bucket):
        at -= _BUCKET.size
        there, counted = _BUCKET.unpack_from(window, at)
    if there != bucket:
        if amount <= 0:
            return
        if grow or len(window) == _TOTAL.size:
            at += _BUCKET.size if there < bucket and at < len(window) else 0
            window[at:at] = bytes(_BUCKET.size)
            counted = 0
        else:
            at = len(window) - _BUCKET.size
            there, counted = _BUCKET.unpack_from(window, at)
            bucket = max(there, bucket)
    amount = max(amount, -counted)
    _BUCKET.pack_into(window, at, bucket, counted + amount)
    _TOTAL.pack_into(window, 0, _TOTAL.unpack_from(window)[0] + amount)


def _wait(demand: Demand, window: bytearray, said: int, now: int) -> float:
    """Seconds until a demand fits if nothing else is counted."""
    if demand.limit is None or not demand.amount or said + demand.amount <= demand.limit:
        return 0.0
    if demand.amount > demand.limit or demand.seconds == IN_FLIGHT:
        return math.inf
    buckets = _BUCKET.iter_unpack(memoryview(window)[_TOTAL.size :])
    while said + demand.amount > demand.limit:
        bucket, amount = next(buckets)
        said -= amount
    ends: int = -(-(bucket + BUCKETS + 1) * demand.seconds * SECOND // BUCKETS)
    return (ends - now) / SECOND
