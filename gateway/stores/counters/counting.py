"""What embedded and local counters have in common: records of bytes, and what a call does to them.

A window's record is what counts in all, then each bucket with its amount, the oldest first. A record of calls in flight
is each owner with its number, which may be less than 0 for a moment: where a call's end is told before its beginning.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.stores.counters import BUCKETS, IN_FLIGHT, Correction, Demand, Verdict

SECOND = 1_000_000_000  # nanoseconds
SLOTS = IN_FLIGHT.to_bytes(4)  # how the keys of calls in flight begin

_TOTAL = struct.Struct("<Q")
_BUCKET = struct.Struct("<QQ")  # which, and its amount
_SLOT = struct.Struct("<16sq")  # whose, and how many


class Records(Protocol):
    """Where records are, for the length of a transaction."""

    def get(self, key: bytes, /) -> bytes | None: ...

    def put(self, key: bytes, value: bytes | bytearray, /) -> object: ...

    def delete(self, key: bytes, /) -> object: ...


def take(records: Records, demands: Sequence[Demand], now: int, owner: bytes, place: int) -> Verdict:
    """Count all demands, or none of them.

    Args:
        records: where.
        demands: what a call asks for.
        now: nanoseconds.
        owner: whose its call in flight is: 16 bytes.
        place: what the verdict says in place of that one's bucket.
    """
    found, used, buckets, taken = [], [], [], True
    for demand in demands:
        record = records.get(_key(demand.counter, demand.seconds))
        if demand.seconds:
            kept, bucket = _window(record, _bucket(now, demand.seconds))
            (said,) = _TOTAL.unpack_from(kept)
        else:
            kept, bucket, said = bytearray(record or b""), place, _in_flight(record)
        found.append(kept)
        used.append(said)
        buckets.append(bucket)
        if demand.limit is not None and demand.amount and said + demand.amount > demand.limit:
            taken = False
    if not taken:
        return Verdict(False, used, [_wait(*each, now) for each in zip(demands, found, used, strict=True)], buckets)
    for demand, kept, bucket in zip(demands, found, buckets, strict=True):
        if demand.amount and demand.seconds:
            _count(kept, bucket, demand.amount)
            records.put(_key(demand.counter, demand.seconds), kept)
        elif demand.amount:
            _count_slots(records, demand.counter, kept, owner, demand.amount)
    return Verdict(True, used, [0.0] * len(used), buckets)


def correct(records: Records, corrections: Sequence[Correction], now: int, owner: bytes, place: int) -> None:
    """Take back what still counts; of calls in flight, what was counted at `place`."""
    for correction in corrections:
        key = _key(correction.counter, correction.seconds)
        if correction.seconds:
            kept, newest = _window(records.get(key), _bucket(now, correction.seconds))
            if correction.bucket >= newest - BUCKETS:
                _count(kept, correction.bucket, -correction.amount)
                if len(kept) > _TOTAL.size:
                    records.put(key, kept)
        elif correction.bucket == place:
            _count_slots(records, correction.counter, records.get(key) or b"", owner, -correction.amount)


def used(records: Records, asked: Sequence[tuple[bytes, int]], now: int) -> list[int]:
    """What counters say."""
    return [_said(records.get(_key(counter, seconds)), seconds, now) for counter, seconds in asked]


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


def _key(counter: bytes, seconds: int) -> bytes:
    return seconds.to_bytes(4) + counter


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


def _count(window: bytearray, bucket: int, amount: int) -> None:
    """Count more in a bucket, or less where `amount` is less than 0, but never less than nothing."""
    at = len(window)
    there = counted = 0
    while at > _TOTAL.size and (at == len(window) or there > bucket):
        at -= _BUCKET.size
        there, counted = _BUCKET.unpack_from(window, at)
    if there != bucket:
        if amount <= 0:
            return
        at += _BUCKET.size if there < bucket and at < len(window) else 0
        window[at:at] = bytes(_BUCKET.size)
        counted = 0
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
