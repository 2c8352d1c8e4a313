"""Other processes that count, and what must be true of all that they wrote down."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from gateway.config import Secret
from gateway.stores.counters import IN_FLIGHT, Demand, SharedCounters
from gateway.stores.counters.embedded import EmbeddedCounters
from gateway.stores.counters.redis import RedisCounters

A = b"a" * 16
SECOND = 1_000_000_000
Make = Callable[[str], SharedCounters]  # of a directory or an address


@dataclass(frozen=True, slots=True)
class Asked:
    """One demand: when it was made and answered, in nanoseconds, what for, and what came of it."""

    before: int
    after: int
    amount: int
    taken: bool
    bucket: int


def embedded(where: str) -> SharedCounters:
    return EmbeddedCounters(Path(where))


def on_redis(where: str) -> SharedCounters:
    return RedisCounters(Secret(where))


def processes() -> ForkServerContext:
    """Other processes, made of one that has all modules already and no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pytest"])
    return context


def rush(make: Make, where: str, limit: int, most: int, seed: int, until: float) -> list[Asked]:
    """Ask for 1 to `most` a second again and again, with pauses."""
    counters, chance, asked = make(where), random.Random(seed), list[Asked]()
    counters.join({})
    while time.monotonic() < until:
        amount, before = chance.randint(1, most), time.monotonic_ns()
        verdict = counters.take([Demand(A, 1, limit, amount)])
        asked.append(Asked(before, time.monotonic_ns(), amount, verdict.taken, verdict.buckets[0]))
        time.sleep(chance.choice((0, 0.001, 0.03)))
    counters.close()
    return asked


def never_more_than(limit: int, asked: Sequence[Asked], slack: int = 0) -> None:
    """In any second at most the limit was taken, whichever two moments it lies between."""
    taken = sorted((each for each in asked if each.taken), key=lambda each: each.before)
    for number, first in enumerate(taken):
        until = first.before + SECOND - slack
        assert sum(each.amount for each in taken[number:] if each.before < until and each.after <= until) <= limit


def nobody_refused_who_fits(limit: int, asked: Sequence[Asked], now: Callable[[Asked], int]) -> None:
    """Who was refused would have passed the limit, with the oldest bucket counted whole.

    Args:
        now: the bucket under way at the latest when a demand was refused, less one where nobody knows.
    """
    for refused in (each for each in asked if not each.taken):
        oldest = now(refused) - 60
        counted = [
            each.amount for each in asked if each.taken and each.bucket >= oldest and each.before < refused.after
        ]
        assert sum(counted) + refused.amount > limit


def hold(make: Make, where: str, told: Connection) -> None:
    """Have three calls in flight and take two of a minute's requests; then do nothing."""
    counters = make(where)
    counters.join({})
    counters.take([Demand(A, IN_FLIGHT, None, 3), Demand(A, 60, None, 2)])
    told.send_bytes(b"taken")
    time.sleep(60)


@contextmanager
def holding(make: Make, where: str) -> Iterator[BaseProcess]:
    """A process that has three calls in flight."""
    told, tell = processes().Pipe(duplex=False)
    process = processes().Process(target=hold, args=(make, where, tell))
    process.start()
    try:
        assert told.recv_bytes() == b"taken"
        yield process
    finally:
        process.kill()
        process.join()
