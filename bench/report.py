"""From what was measured to the rows of one table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from statistics import median
from typing import NamedTuple

from bench.kernel import Cpu
from bench.load import Outcome
from bench.scenarios import Scenario
from bench.upstream import PIECES

_CALLS = [
    "scenario", "c", "calls/s", "min-max", "CPU us/call", "user", "system", "p50 ms", "p99 ms", "added p50",
    "added p99", "errors",
]  # fmt: skip
_STREAMS = [
    "scenario", "c", "streams/s", "min-max", "CPU us/stream", "user", "system", "first p50 ms", "first p99",
    "added p50", "added p99", "end p50", "per core", "errors",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """One round's, or the medians of all.

    Attributes:
        p50_ms, p99_ms: to the end of the response.
        first_p50_ms, first_p99_ms: to the first byte of its body.
        marked: the share of responses that held the scenario's mark.
    """

    calls_per_second: float
    cpu_us: float
    cpu_user_us: float
    cpu_system_us: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    first_p99_ms: float
    marked: float


class Run(NamedTuple):
    """One round of one scenario: its figures, and what went wrong how often."""

    figures: Figures
    errors: Counter[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario over all rounds.

    Attributes:
        streams: its calls are streams.
        slowest, fastest: calls a second of the extreme rounds.
        added_p50_ms, added_p99_ms: median over direct calls in the same round, of streams to the first byte; None where
            there is nothing to compare.
        errors: what went wrong, and how often, in all rounds.
    """

    scenario: str
    connections: int
    streams: bool
    median: Figures
    slowest: float
    fastest: float
    added_p50_ms: float | None
    added_p99_ms: float | None
    errors: dict[str, int]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def measured(outcome: Outcome, cpu: Cpu) -> Run:
    """One round from its outcome, in which calls succeeded, and the CPU time that they took."""
    calls = len(outcome.latencies)
    found = Figures(
        calls_per_second=calls / outcome.seconds,
        cpu_us=sum(cpu) / calls * 1e6,
        cpu_user_us=cpu.user / calls * 1e6,
        cpu_system_us=cpu.system / calls * 1e6,
        p50_ms=percentile(outcome.latencies, 0.5) * 1000,
        p99_ms=percentile(outcome.latencies, 0.99) * 1000,
        first_p50_ms=percentile(outcome.first_bytes, 0.5) * 1000,
        first_p99_ms=percentile(outcome.first_bytes, 0.99) * 1000,
        marked=outcome.marked / calls,
    )
    return Run(found, outcome.errors)


def summarize(scenario: Scenario, runs: Sequence[Run], direct: Sequence[Run] | None) -> Row:
    """A scenario's row from its runs, one a round, and from those of as many direct calls at once, if there are any."""
    rounds = [each.figures for each in runs]
    pairs = list(zip(rounds, (each.figures for each in direct), strict=True)) if direct else []
    names = ("first_p50_ms", "first_p99_ms") if scenario.streams else ("p50_ms", "p99_ms")
    added = [
        median(getattr(own, each) - getattr(base, each) for own, base in pairs) if pairs else None for each in names
    ]
    speeds = [each.calls_per_second for each in rounds]
    return Row(
        scenario=scenario.name,
        connections=scenario.connections,
        streams=scenario.streams,
        median=Figures(*map(median, zip(*map(astuple, rounds), strict=True))),
        slowest=min(speeds),
        fastest=max(speeds),
        added_p50_ms=added[0],
        added_p99_ms=added[1],
        errors=dict(sum((each.errors for each in runs), Counter[str]())),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text, streams in a table of their own, and below it what spoils any of them."""
    calls, streams = ([row for row in rows if row.streams is kind] for kind in (False, True))
    text = [*_aligned(_CALLS, calls), *([""] if calls and streams else []), *_aligned(_STREAMS, streams)]
    cpu_us = {row.scenario: row.median.cpu_us for row in rows}  # of several rows the one with the most connections
    if "stream" in cpu_us and cpu_us.get("upstream"):
        text.append(
            f"One stream costs as much CPU as {cpu_us['stream'] / cpu_us['upstream']:.1f} calls of upstream, "
            f"{cpu_us['stream'] / PIECES:.0f} us for each of its {PIECES} pieces of text"
        )
    for row in rows:
        text += [
            f"ERRORS in {row.scenario}, c={row.connections}: {count} x {what}" for what, count in row.errors.items()
        ]
        if row.median.marked < 1:
            text.append(f"NOT A HIT: {row.median.marked:.2%} of the responses in {row.scenario} came from the cache")
    return "\n".join(text)


def _aligned(headings: list[str], rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    lines = [headings, *map(_cells, rows)]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    template = "  ".join([f"{{:<{first}}}", *(f"{{:>{width}}}" for width in others)])
    return [template.format(*line) for line in lines]


def _cells(row: Row) -> list[str]:
    middle = row.median
    times = [middle.p50_ms, middle.p99_ms, row.added_p50_ms, row.added_p99_ms]
    if row.streams:
        times = [middle.first_p50_ms, middle.first_p99_ms, row.added_p50_ms, row.added_p99_ms, middle.p50_ms]
    return [
        row.scenario,
        str(row.connections),
        _rate(middle.calls_per_second),
        f"{_rate(row.slowest)}-{_rate(row.fastest)}",
        *(f"{value:,.0f}" for value in (middle.cpu_us, middle.cpu_user_us, middle.cpu_system_us)),
        *("-" if value is None else f"{value:.2f}" for value in times),
        *([_rate(1e6 / middle.cpu_us) if middle.cpu_us else "-"] if row.streams else []),
        str(sum(row.errors.values())),
    ]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
