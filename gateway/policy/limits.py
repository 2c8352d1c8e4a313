"""Limits as operators write them: `SUBJECT UNIT/PERIOD VALUE`, and since when one counts.

What is here knows no database. A period slides where it is shorter than a day, in 60 buckets: a window is the bucket
under way and the 60 before it, the oldest counted whole. From a day on it is the calendar's, in UTC.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from gateway.model import HEADED, LARGEST, NANO_PER_USD, usd
from gateway.policy.subjects import Misspelt, Subject

UNITS = ("requests", "tokens", "usd")
CONCURRENCY = "concurrency"  # a unit without a period: calls in flight
MODES = ("hard", "firm", "soft")
SLIDING = {"second": 1, "minute": 60, "hour": 3600}  # seconds
CALENDAR = ("day", "week", "month", "total")

# What a `firm` limit holds: this share of such calls lately settled took no more. With fewer of them, the bound.
_QUANTILE = 0.95
_FEWEST = 8

_BUCKETS = 60
_NANOSECONDS = 1_000_000_000
_DAY = 86_400  # seconds
_DAY_NS = _DAY * _NANOSECONDS
_KEPT_COUNTERS = 4096  # of which we know the digests, the latest
_FORMS = {"usd": re.compile(r"[0-9]+(?:\.[0-9]{1,9})?")}
_WHOLE = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Attributes:
        value: whole requests or tokens, or nano-USD.
    """

    id: int
    subject: Subject
    unit: str
    period: str
    mode: str
    value: int

    @property
    def in_ledger(self) -> bool:
        """Whether it counts in the ledger; the others do in the counters, as what has no period does."""
        return counts_in_ledger(self.unit, self.period)

    @property
    def headed(self) -> bool:
        """Whether clients are told of it in headers."""
        return self.unit in HEADED and self.mode != "soft"

    @property
    def rate(self) -> str:
        """Its unit and period, as operators write them."""
        return f"{self.unit}/{self.period}" if self.period else self.unit

    @property
    def seconds(self) -> int:
        """The length of a sliding period; 0 for what has no period."""
        return SLIDING.get(self.period, 0)

    def counter(self, instance: str) -> bytes:
        """Which of the counters is its own for `instance`: a digest, whatever clients name their users."""
        return _counter(self.subject.text, self.unit, self.period, instance)

    def bucket(self, now_ns: int) -> int:
        """Where a call counts that is held at `now_ns`, nanoseconds since 1970: the calendar period's first second, or
        a sixtieth of a sliding one, counted since 1970."""
        return _bucket(self.period, now_ns)

    def since(self, now_ns: int) -> int:
        """The oldest bucket that counts at `now_ns`."""
        return since(self.period, now_ns)

    def until(self, now_ns: int) -> int:
        """The newest bucket that counts at `now_ns`: later ones are there where a clock was put back."""
        return self.bucket(now_ns) + (_BUCKETS if self.period in SLIDING else 0)

    def resets(self, now_ns: int) -> int | None:
        """When a calendar period ends, or the bucket that is next to be forgotten does, in seconds since 1970 and
        rounded up; None for never."""
        if self.period == "total":
            return None
        if self.period in SLIDING:
            return self.forgotten(self.since(now_ns))
        return _calendar(self.period, now_ns // _DAY_NS)[1]

    def reset(self, now_ns: int) -> str | None:
        """When a calendar period ends, in UTC; None for never, and for a period that slides."""
        at = None if self.period in SLIDING else self.resets(now_ns)
        return None if at is None else instant(at)

    def forgotten(self, bucket: int) -> int:
        """When a bucket of a sliding period counts no more, in seconds since 1970, rounded up."""
        return -(-(bucket + _BUCKETS + 1) * SLIDING[self.period] // _BUCKETS)

    def write(self, amount: int) -> str:
        """An amount of this limit's unit."""
        return usd(amount) if self.unit == "usd" else str(amount)


@lru_cache(_KEPT_COUNTERS)
def _counter(*of: str) -> bytes:
    return hashlib.blake2b("\0".join(of).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def counts_in_ledger(unit: str, period: str) -> bool:
    """Whether a limit of this kind counts in the ledger, or else in the counters."""
    return unit == "usd" or period in CALENDAR


def typical(taken: Iterable[int]) -> int | None:
    """What nearly all such calls took; None where too few are known."""
    known = sorted(taken)
    return known[math.ceil(_QUANTILE * len(known)) - 1] if len(known) >= _FEWEST else None


def since(period: str, now_ns: int) -> int:
    """The oldest bucket of a period that counts at `now_ns`, nanoseconds since 1970."""
    return _bucket(period, now_ns) - (_BUCKETS if period in SLIDING else 0)


def _bucket(period: str, now_ns: int) -> int:
    if period in SLIDING:
        return now_ns * _BUCKETS // (SLIDING[period] * _NANOSECONDS)
    return 0 if period == "total" else _calendar(period, now_ns // _DAY_NS)[0]


def instant(seconds: int) -> str:
    """Seconds since 1970 as `2026-11-23T00:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(16)
def _calendar(period: str, day: int) -> tuple[int, int]:
    """When the period begins and ends that a day lies in, counted since 1970: in seconds."""
    began = ended = datetime.fromtimestamp(day * _DAY, UTC)
    if period == "week":
        began -= timedelta(days=began.weekday())
        ended = began + timedelta(days=7)
    elif period == "month":
        began = began.replace(day=1)
        ended = (began + timedelta(days=31)).replace(day=1)
    else:
        ended = began + timedelta(days=1)
    return int(began.timestamp()), int(ended.timestamp())


def parse_rate(text: str) -> tuple[str, str]:
    """Understand `UNIT/PERIOD`, or `concurrency`, which has the period "". Raises Misspelt."""
    unit, _, period = text.partition("/")
    if text == CONCURRENCY:
        return text, ""
    if unit not in UNITS or period not in (*SLIDING, *CALENDAR):
        periods = ", ".join((*SLIDING, *CALENDAR))
        raise Misspelt(f"{text!r}: write {', '.join(UNITS)} '/' {periods}, or {CONCURRENCY} alone")
    return unit, period


def parse_value(text: str, unit: str) -> int:
    """Understand a value of `unit`: a whole number, or USD with up to 9 decimals. Raises Misspelt."""
    right = "an amount of USD such as 12.50, with at most 9 decimals" if unit == "usd" else "a whole number"
    try:
        value = (
            int(Decimal(text) * (NANO_PER_USD if unit == "usd" else 1))
            if _FORMS.get(unit, _WHOLE).fullmatch(text)
            else -1
        )
    except ArithmeticError:  # more digits than are counted with
        value = -1
    if not 0 <= value <= LARGEST:
        most = usd(LARGEST) if unit == "usd" else LARGEST
        raise Misspelt(f"{text!r} is no value of {unit}: write {right}, from 0 to {most}")
    return value
