"""What has been counted lately: requests and tokens in sliding windows, and calls in flight. One protocol, one file a
store.

A window is the bucket under way and the 60 before it, the oldest counted whole: so any period of time, wherever it
begins, lies within the buckets that were counted when its last call was taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

BUCKETS = 60  # of a period
IN_FLIGHT = 0  # in place of a period's seconds: not a window, but calls in flight


class Demand(NamedTuple):
    """What a call asks of one counter.

    Attributes:
        counter: which one: 16 bytes.
        seconds: its period; IN_FLIGHT for calls in flight.
        limit: the most that may be counted; None where nothing is refused.
        amount: what is to be counted, 0 or more; 0 always fits.
    """

    counter: bytes
    seconds: int
    limit: int | None
    amount: int


class Verdict(NamedTuple):
    """What came of the demands of one call, each in its place.

    Attributes:
        taken: all of them were counted; otherwise none was.
        used: what each counter said before.
        waits: seconds after which each demand fits if nothing else is counted: 0 where it does, infinity where it
            never will or nobody knows (calls in flight).
        buckets: where each was counted.
    """

    taken: bool
    used: Sequence[int]
    waits: Sequence[float]
    buckets: Sequence[int]


class Correction(NamedTuple):
    """What is taken back of what was counted.

    Attributes:
        counter, seconds, bucket: as in the demand, and in the verdict.
        amount: how much; less than 0 to count more.
    """

    counter: bytes
    seconds: int
    bucket: int
    amount: int


class Counters(Protocol):
    """Where it is counted. Every method may wait for others, but for no longer than the store's patience, and raises
    StoreError where it could not be done."""

    def take(self, demands: Sequence[Demand]) -> Verdict:
        """Count all that a call asks for, or nothing of it, in one transaction. It names no counter twice."""
        ...

    def correct(self, corrections: Sequence[Correction]) -> None:
        """Take back some of it: in the bucket where it was counted, and nothing where that one counts no more. Calls
        in flight are this process's own; an end may be told before its beginning."""
        ...

    def used(self, asked: Sequence[tuple[bytes, int]]) -> list[int]:
        """What counters say, each given with its seconds."""
        ...

    def maintain(self) -> None:
        """Do what is needed about every second: forget the calls in flight of processes that are no more, and what
        counts no longer; show that this process lives."""
        ...

    def close(self) -> None:
        """Take this process's calls in flight back."""
        ...


class SharedCounters(Counters, Protocol):
    """Counters of several processes, each of which joins before it takes anything.

    Attributes:
        living: how many they are, as far as this one has heard.
    """

    living: int

    def join(self, in_flight: Mapping[bytes, int]) -> int:
        """Be a new owner of calls in flight, who has these, by counter; what this process had before counts no more.

        Returns:
            Where they count: the bucket of their corrections from now on.
        """
        ...
