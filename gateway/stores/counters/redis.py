"""Counters of several hosts, on one Redis: a call's demands are one script and one round trip.

A process whose lease has ended, or that a Redis which lost everything does not know, gets a StoreError until it joins
again: so that its calls in flight count again as they are.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from gateway.config import Secret
from gateway.stores.counters import IN_FLIGHT, Correction, Demand, Verdict, scripts
from gateway.stores.redis import RedisServer, evaluate

_SECONDS = 0.25  # that an operation may take; a busy process must not take itself for a slow server
_PREFIX = "llm-gateway:{counters}:"  # the braces keep all of it on one node
_SHARED = (f"{_PREFIX}clock", f"{_PREFIX}owners")
_LARGEST = 2**53


class RedisCounters:
    """Counters on a server.

    Args:
        url: where it is.
    """

    living = 0

    def __init__(self, url: Secret) -> None:
        self._server = RedisServer(url.reveal(), _SECONDS)
        self._member = ("", 0)  # which owner this process is, and the bucket that its calls in flight have

    def join(self, in_flight: Mapping[bytes, int]) -> int:
        (last, place), owner = self._member, uuid.uuid4().hex
        keys = [_key(counter, IN_FLIGHT) for counter in in_flight]
        self.living = self._run(scripts.JOIN, keys, [owner, last, *in_flight.values()])
        self._member = (owner, place + 1)
        return place + 1

    def take(self, demands: Sequence[Demand]) -> Verdict:
        owner, place = self._member
        answer = self._take(owner, demands)
        buckets = [bucket if demand.seconds else place for demand, bucket in zip(demands, answer[4::3], strict=True)]
        waits = [wait / 1_000_000 if wait >= 0 else math.inf for wait in answer[3::3]]
        return Verdict(answer[0] == 1, answer[2::3], waits, buckets)

    def correct(self, corrections: Sequence[Correction]) -> None:
        owner, place = self._member
        counting = [each for each in corrections if each.seconds or each.bucket == place]
        keys = [_key(each.counter, each.seconds) for each in counting]
        amounts = ((each.seconds, each.bucket, each.amount) for each in counting)
        self._run(scripts.CORRECT, keys, [owner, *chain.from_iterable(amounts)])

    def used(self, asked: Sequence[tuple[bytes, int]]) -> list[int]:
        said: list[int] = self._take("", [Demand(counter, seconds, None, 0) for counter, seconds in asked])[2::3]
        return said

    def maintain(self) -> None:
        self.living = self._run(scripts.RENEW, [], [self._member[0]])

    def close(self) -> None:
        self._run(scripts.LEAVE, [], [self._member[0]])

    def _take(self, owner: str, demands: Sequence[Demand]) -> list[int]:
        keys = [_key(demand.counter, demand.seconds) for demand in demands]
        asked = (
            (demand.seconds, -1 if demand.limit is None else min(demand.limit, _LARGEST), demand.amount)
            for demand in demands
        )
        answer: list[int] = self._run(scripts.TAKE, keys, [owner, *chain.from_iterable(asked)])
        self.living = answer[1]
        return answer

    def _run(self, script: str, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """What a script answers. Raises StoreError."""
        return self._server.run(lambda client: evaluate(client, script, (*_SHARED, *keys), arguments))


def _key(counter: bytes, seconds: int) -> str:
    return f"{_PREFIX}{seconds}:{counter.hex()}"
