"""`python -m bench`: where the gateway stands, beside its peers and against its goals, measured on this machine."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench import plot, probes, reach, servers, wrk
from bench.compare import compare
from bench.kernel import machine
from bench.peers import PEERS
from bench.report import Row, aligned, faults, markdown, tables

RESULTS = "docs/performance"
PARTS = ("compare", "burst", "open", "memory", "workers", "bodies", "mixed", "crash")


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how much."""

    rounds: int
    seconds: float
    calls: int
    streams: int
    pause: float


_QUICK = Effort(rounds=1, seconds=0.5, calls=3_000, streams=500, pause=1)


@click.command()
@click.option(
    "--rounds", default=3, type=click.IntRange(1), show_default=True, help="Each scenario has one turn a round."
)
@click.option("--seconds", default=5.0, type=click.FloatRange(0.1), show_default=True, help="Of one turn.")
@click.option(
    "--calls",
    default=100_000,
    type=click.IntRange(1),
    show_default=True,
    help="That a worker's memory is watched over.",
)
@click.option("--streams", default=5_000, type=click.IntRange(1), show_default=True, help="Open at once.")
@click.option("--quick", is_flag=True, help="As little of everything as tells that it works: under 3 minutes.")
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="This part; may be repeated.")
@click.option(
    "--peer",
    type=click.Choice([peer.name for peer in PEERS]),
    multiple=True,
    help="Of all that are installed; may be repeated.",
)
@click.option("--alone", is_flag=True, help="No peers.")
@click.option(
    "--save",
    is_flag=False,
    flag_value=RESULTS,
    help=f"Write JSON, Markdown and a plot to this folder, or to {RESULTS}.",
)
def main(
    rounds: int,
    seconds: float,
    calls: int,
    streams: int,
    quick: bool,
    only: Sequence[str],
    peer: Sequence[str],
    alone: bool,
    save: str | None,
) -> None:
    """Measure the gateway on this machine. Only the ratios within one run mean anything."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # an exception, so that servers are stopped
    effort = _QUICK if quick else Effort(rounds, seconds, calls, streams, 3)
    cores = servers.share_out()
    os.sched_setaffinity(0, cores.load)
    wanted = [] if alone else [each.name for each in PEERS if each.installed and (not peer or each.name in peer)]
    about = _about(effort, cores, wanted)
    click.echo("\n".join(about), err=True)
    try:
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as directory:
            rows, figures = _measure(Path(directory), effort, cores, wanted, only or PARTS)
    except OSError as error:
        raise click.ClickException(str(error)) from error
    printed = [*tables(rows), reach.table(figures)]
    notes = [*faults(rows), *reach.notes(figures)]
    click.echo("\n\n".join(["\n".join(about), *(aligned(*each) for each in printed), "\n".join(notes)]))
    if save:
        report = {"about": about, "rows": [asdict(row) for row in rows], "figures": figures}
        _save(Path(save), report, "\n\n".join([*about, *(markdown(*each) for each in printed), *notes]), rows)
    sys.exit(any(row.errors for row in rows))


def _about(effort: Effort, cores: servers.Cores, wanted: Sequence[str]) -> list[str]:
    peers = ", ".join(f"{each.name} {each.version}" for each in PEERS if each.name in wanted) or "none"
    missing = ", ".join(each.name for each in PEERS if not each.installed)
    return [
        machine(),
        f"{effort.rounds} rounds of {effort.seconds:g} s; {cores}; load by {'wrk' if wrk.PATH else 'bench.load'}",
        f"peers: {peers}" + (f"; not installed (make bench-peers): {missing}" if missing else ""),
    ]


def _measure(
    directory: Path, effort: Effort, cores: servers.Cores, wanted: list[str], parts: Sequence[str]
) -> tuple[list[Row], dict[str, float]]:
    rounds, seconds = effort.rounds, effort.seconds
    rows = compare(directory, cores, wanted, rounds, seconds) if "compare" in parts else []
    figures = reach.of_rows(rows) if rows else {}
    chosen: dict[str, Callable[[], probes.Found]] = {
        "burst": lambda: probes.burst(directory, 500),
        "open": lambda: probes.open_streams(directory, effort.streams, effort.pause),
        "memory": lambda: probes.worker_memory(directory, effort.calls),
        "workers": lambda: probes.more_workers(directory, seconds, rounds),
        "bodies": lambda: probes.bodies(directory, seconds, rounds),
        "mixed": lambda: probes.mixed(directory, max(2, 2 * seconds)),
        "crash": lambda: probes.crash(directory),
    }
    for part in (each for each in PARTS if each in parts and each in chosen):
        click.echo(f"measuring: {part}", err=True)
        figures |= chosen[part]()
    return rows, figures


def _save(folder: Path, report: dict[str, object], text: str, rows: Sequence[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "bench.md").write_text(text + "\n")
    if rows:
        plot.comparison(rows, folder / "bench.png")


if __name__ == "__main__":
    main()
