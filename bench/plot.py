"""The plots; the one place that needs matplotlib (the extra `bench`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench.report import Row, Spread
from bench.scenarios import CONNECTIONS, STREAMS

_OURS, _OTHERS = "#d1495b", "#7d8ca3"


def comparison(rows: Sequence[Row], file: Path) -> None:
    """Bars of all servers, with the least and the most of the rounds as whiskers."""
    panels = (
        (f"calls/s, {CONNECTIONS} at once", "chat", CONNECTIONS, "per_second"),
        (f"CPU us per call, {CONNECTIONS} at once", "chat", CONNECTIONS, "cpu_us"),
        ("added latency p50, ms, one at a time", "chat", 1, "added_p50_ms"),
        ("added latency p99, ms, one at a time", "chat", 1, "added_p99_ms"),
        (f"streams/s, {STREAMS} at once", "stream", STREAMS, "per_second"),
        ("added time to first byte p50, ms, one at a time", "stream", 1, "added_p50_ms"),
    )
    figure = _figure(len(panels))
    if figure is None:
        return
    for axes, (title, scenario, connections, name) in zip(figure.axes, panels, strict=False):
        found: list[tuple[str, Spread]] = [
            (row.server, getattr(row, name))
            for row in reversed(rows)
            if (row.scenario, row.connections) == (scenario, connections)
            and row.server != "direct"
            and getattr(row, name)
        ]
        middles = [each.median for _, each in found]
        whiskers = [[each.median - each.least for _, each in found], [each.most - each.median for _, each in found]]
        colours = [_OURS if server == "ours" else _OTHERS for server, _ in found]
        bars = axes.barh([server for server, _ in found], middles, xerr=whiskers, color=colours, ecolor="#333333")
        axes.bar_label(
            bars, labels=[f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in middles], padding=4
        )
        axes.set_title(title, fontsize=10)
        axes.margins(x=0.2)
    figure.savefig(file, dpi=110)


def growth(curves: Mapping[str, Mapping[str, float]], file: Path) -> None:
    """CPU per call as each thing grows, a panel each."""
    figure = _figure(len(curves))
    if figure is None:
        return
    for axes, (title, points) in zip(figure.axes, curves.items(), strict=False):
        axes.plot(list(points), list(points.values()), marker="o", color=_OURS)
        axes.set_ylim(0, 1.15 * max(points.values()))
        axes.set_title(f"CPU us per call: {title}", fontsize=10)
        axes.grid(axis="y", alpha=0.3)
    figure.savefig(file, dpi=110)


def _figure(panels: int) -> Any:  # matplotlib need not be there, and its types neither
    """A figure with so many panels, two in a row; None, and a word about it, without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        click.echo("no plot: matplotlib is not installed", err=True)
        return None
    rows = (panels + 1) // 2
    figure = Figure(figsize=(11, 2.6 * rows), layout="constrained")
    for place in range(panels):
        figure.add_subplot(rows, 2, place + 1)
    return figure
