"""From turns to the rows of tables: medians, and how far the rounds were apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from bench.scenarios import Scenario, Turn

_BUSY = 0.85  # of a core, which a gateway with many calls at once takes if it can


class Spread(NamedTuple):
    """A figure's median over the rounds, and its extremes."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario of one server over all rounds.

    Attributes:
        first_p50_ms, first_p99_ms: of streams, to the first byte; else None.
        added_p50_ms, added_p99_ms: to direct calls of the same round, of streams to the first byte; None where there is
            nothing to compare.
        rates: what was done a second in each round.
        hits: the share of answers with the scenario's mark.
        loop_us: how fast the core was.
        errors: what went wrong, and how often, in all rounds.
    """

    scenario: str
    server: str
    connections: int
    streams: bool
    per_second: Spread
    cpu_us: Spread
    p50_ms: Spread
    p99_ms: Spread
    first_p50_ms: Spread | None
    first_p99_ms: Spread | None
    added_p50_ms: Spread | None
    added_p99_ms: Spread | None
    rates: Sequence[float]
    hits: float
    loop_us: Spread
    errors: dict[str, int]

    @property
    def core(self) -> float:
        """The share of a core that it used."""
        return self.per_second.median * self.cpu_us.median / 1e6

    def times(self, other: Row) -> float:
        """How many times as much it did a second as another one in the same round."""
        return median(own / its for own, its in zip(self.rates, other.rates, strict=True))


def summarize(scenario: Scenario, turns: Sequence[Turn], direct: Sequence[Turn] | None) -> Row:
    """A scenario's row from its turns, one a round, and from those of the same without a gateway, if there are any."""
    figures = [turn.figures for turn in turns]

    def of(name: str) -> Spread:
        return spread([getattr(each, name) for each in figures])

    def added(name: str) -> Spread | None:
        pairs = zip(figures, [turn.figures for turn in direct], strict=True) if direct else ()
        found = [getattr(own, name) - getattr(base, name) for own, base in pairs]
        return spread(found) if found else None

    kind = "first_" if scenario.streams else ""
    return Row(
        scenario=scenario.name,
        server=scenario.server.name,
        connections=scenario.connections,
        streams=scenario.streams,
        per_second=spread([turn.per_second for turn in turns]),
        cpu_us=spread([turn.cpu_us for turn in turns]),
        p50_ms=of("p50_ms"),
        p99_ms=of("p99_ms"),
        first_p50_ms=of("first_p50_ms") if scenario.streams else None,
        first_p99_ms=of("first_p99_ms") if scenario.streams else None,
        added_p50_ms=added(f"{kind}p50_ms"),
        added_p99_ms=added(f"{kind}p99_ms"),
        rates=[turn.per_second for turn in turns],
        hits=sum(each.marked for each in figures) / sum(each.calls for each in figures),
        loop_us=spread([turn.loop_us for turn in turns]),
        errors=dict(sum((Counter(each.errors) for each in figures), Counter[str]())),
    )


Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # the headings, and the cells of each line


def tables(rows: Sequence[Row]) -> list[Table]:
    """A table of calls and one of streams."""
    return [
        (_headings(streams), [_cells(row) for row in rows if row.streams is streams])
        for streams in (False, True)
        if any(row.streams is streams for row in rows)
    ]


def faults(rows: Sequence[Row]) -> list[str]:
    """What spoils a row, a line each."""
    lines = []
    for row in rows:
        where = f"{row.scenario} of {row.server}, c={row.connections}"
        lines += [f"ERRORS in {where}: {count} x {what}" for what, count in row.errors.items()]
        if row.scenario == "chat" and row.connections > 1 and row.server != "direct" and row.core < _BUSY:
            lines.append(f"{where} had {row.core:.0%} of its core: something else ran there, or the load was too slow")
        if row.hits < 1:
            lines.append(f"NOT A HIT: {1 - row.hits:.2%} of the answers in {where}")
    return lines


def aligned(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table for a terminal: words to the left, which the first column has, and figures to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    left = [
        place == 0 or not any(cell[:1].isdigit() for cell in column)
        for place, column in enumerate(zip(*lines, strict=True))
    ]

    def line(cells: Sequence[str]) -> str:
        places = zip(cells, widths, left, strict=True)
        return "  ".join(
            f"{cell:<{width}}" if to_left else f"{cell:>{width}}" for cell, width, to_left in places
        ).rstrip()

    return "\n".join(map(line, [headings, *lines]))


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [headings, ["---"] * len(headings), *lines])


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{decimals}f}"


def _headings(streams: bool) -> list[str]:
    unit = "stream" if streams else "call"
    first = ["first p50 ms", "first p99"] if streams else []
    return [
        unit, "server", "c", f"{unit}s/s", "least-most", f"CPU us/{unit}", "least-most", *first,
        "end p50 ms" if streams else "p50 ms", "p99", "added p50", "added p99", "loop us", "core", "errors",
    ]  # fmt: skip


def _cells(row: Row) -> list[str]:
    first = [number(each.median) for each in (row.first_p50_ms, row.first_p99_ms) if each]
    added = [number(each.median if each else None) for each in (row.added_p50_ms, row.added_p99_ms)]
    return [
        row.scenario,
        row.server,
        str(row.connections),
        *_both(row.per_second),
        *_both(row.cpu_us),
        *first,
        number(row.p50_ms.median),
        number(row.p99_ms.median),
        *added,
        number(row.loop_us.median),
        f"{row.core:.0%}",
        str(sum(row.errors.values())),
    ]


def _both(figure: Spread) -> list[str]:
    return [number(figure.median), f"{number(figure.least)}-{number(figure.most)}"]
