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

_HEADINGS = [
    "scenario", "c", "calls/s", "min-max", "CPU us/call", "user", "system", "p50 ms", "p99 ms", "added p50",
    "added p99", "errors",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """One round's, or the medians of all. `marked` is the share of responses that held the scenario's mark."""

    calls_per_second: float
    cpu_us: float
    cpu_user_us: float
    cpu_system_us: float
    p50_ms: float
    p99_ms: float
    marked: float


class Run(NamedTuple):
    """One round of one scenario: its figures, and what went wrong how often."""

    figures: Figures
    errors: Counter[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario over all rounds.

    Attributes:
        slowest, fastest: calls a second of the extreme rounds.
        added_p50_ms, added_p99_ms: median over direct calls in the same round; None where there is nothing to compare.
        errors: what went wrong, and how often, in all rounds.
    """

    scenario: str
    connections: int
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
        marked=outcome.marked / calls,
    )
    return Run(found, outcome.errors)


def summarize(scenario: Scenario, runs: Sequence[Run], direct: Sequence[Run] | None) -> Row:
    """A scenario's row from its runs, one a round, and from those of as many direct calls at once, if there are any."""
    rounds = [each.figures for each in runs]
    pairs = list(zip(rounds, (each.figures for each in direct), strict=True)) if direct and scenario.passes_on else []
    speeds = [each.calls_per_second for each in rounds]
    return Row(
        scenario=scenario.name,
        connections=scenario.connections,
        median=Figures(*map(median, zip(*map(astuple, rounds), strict=True))),
        slowest=min(speeds),
        fastest=max(speeds),
        added_p50_ms=median(own.p50_ms - base.p50_ms for own, base in pairs) if pairs else None,
        added_p99_ms=median(own.p99_ms - base.p99_ms for own, base in pairs) if pairs else None,
        errors=dict(sum((each.errors for each in runs), Counter[str]())),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text, and below it what spoils any of them."""
    lines = [_HEADINGS, *map(_cells, rows)]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    template = "  ".join([f"{{:<{first}}}", *(f"{{:>{width}}}" for width in others)])
    text = [template.format(*line) for line in lines]
    for row in rows:
        text += [
            f"ERRORS in {row.scenario}, c={row.connections}: {count} x {what}" for what, count in row.errors.items()
        ]
        if row.median.marked < 1:
            text.append(f"NOT A HIT: {row.median.marked:.2%} of the responses in {row.scenario} came from the cache")
    return "\n".join(text)


def _cells(row: Row) -> list[str]:
    middle = row.median
    times = (middle.p50_ms, middle.p99_ms, row.added_p50_ms, row.added_p99_ms)
    return [
        row.scenario,
        str(row.connections),
        f"{middle.calls_per_second:,.0f}",
        f"{row.slowest:,.0f}-{row.fastest:,.0f}",
        *(f"{value:,.0f}" for value in (middle.cpu_us, middle.cpu_user_us, middle.cpu_system_us)),
        *("-" if value is None else f"{value:.2f}" for value in times),
        str(sum(row.errors.values())),
    ]
