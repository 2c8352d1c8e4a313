"""`python -m bench`: the gateway's throughput, CPU time and latency, measured on this machine."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from bench import servers
from bench.kernel import Cpu, cpu, machine, memory
from bench.load import drive
from bench.report import Row, Run, measured, summarize, table
from bench.scenarios import NAMES, Scenario, scenarios

_WARM_UP_SECONDS = 1


@click.command()
@click.option("--rounds", default=3, type=click.IntRange(1), show_default=True, help="Each scenario runs once a round.")
@click.option("--seconds", default=5.0, type=click.FloatRange(0.1), show_default=True, help="Of one run.")
@click.option("--workers", default=1, type=click.IntRange(1), show_default=True, help="Gunicorn's.")
@click.option("--worker-class", default="gevent", type=click.Choice(["gevent", "gthread"]), show_default=True)
@click.option("--connections", default=32, type=click.IntRange(1), show_default=True, help="Calls under way at once.")
@click.option("--delay-ms", default=0.0, type=click.FloatRange(0), help="The upstream waits before it answers.")
@click.option("--chunk-delay-ms", default=0.0, type=click.FloatRange(0), help="And between the events of a stream.")
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="This scenario; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output, the table on standard error.")
def main(
    rounds: int,
    seconds: float,
    workers: int,
    worker_class: str,
    connections: int,
    delay_ms: float,
    chunk_delay_ms: float,
    only: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure the gateway on this machine. Only the ratios within one run mean anything."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # an exception, so that servers are stopped
    about = machine()
    cores = servers.share_out(sorted(os.sched_getaffinity(0)), workers)
    os.sched_setaffinity(0, cores.load)
    key = secrets.token_urlsafe()
    try:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-bench-")))
            upstream = stack.enter_context(servers.upstream(directory, cores, delay_ms, chunk_delay_ms))
            start = partial(servers.gateway, directory, cores, workers, worker_class, key, upstream)
            gateway = stack.enter_context(start())
            caching = stack.enter_context(start(CACHE_TTL="300"))
            choice = scenarios(upstream, gateway, caching, key, connections)
            rows = _measure([each for each in choice if not only or each.name in only], rounds, seconds)
            used = {"master": memory(gateway.pid)} | {f"worker {pid}": memory(pid) for pid in gateway.workers}
    except OSError as error:
        raise click.ClickException(str(error)) from error
    waits = f"upstream waits {delay_ms:g} ms, {chunk_delay_ms:g} ms between events"
    workload = f"rounds: {rounds} of {seconds:g} s; workers: {workers} {worker_class}; {waits}"
    sizes = [
        f"{name}: PSS {m['pss']:.0f} MB, RSS {m['rss']:.0f}, private {m['private']:.0f}" for name, m in used.items()
    ]
    click.echo("\n".join([about, f"{workload}; {cores}", "", table(rows), "", *sizes]), err=as_json)
    if as_json:
        report = {"machine": about, "workload": workload, "cores": asdict(cores), "memory_mb": used}
        click.echo(json.dumps(report | {"rows": [asdict(row) for row in rows]}, indent=2))
    sys.exit(any(row.errors for row in rows))


def _measure(wanted: Sequence[Scenario], rounds: int, seconds: float) -> list[Row]:
    """Run every scenario once a round, so that a machine that slows down slows them all."""
    for scenario in wanted:
        _run(scenario, min(seconds, _WARM_UP_SECONDS))
    runs: list[list[Run]] = [[] for _ in wanted]
    for number in range(1, rounds + 1):
        for scenario, own in zip(wanted, runs, strict=True):
            own.append(_run(scenario, seconds))
            speed = f"{own[-1].figures.calls_per_second:,.0f} {scenario.unit}s/s"
            click.echo(f"round {number}/{rounds}: {scenario.name}, c={scenario.connections}: {speed}", err=True)
    found = {(each.name, each.connections): own for each, own in zip(wanted, runs, strict=True)}
    return [
        summarize(each, own, found.get((each.compared, each.connections)))
        for each, own in zip(wanted, runs, strict=True)
    ]


def _run(scenario: Scenario, seconds: float) -> Run:
    """Run a scenario once and account for what its server's workers used.

    Raises:
        ClickException: no call succeeded.
        OSError: the server or one of its workers is gone.
    """
    server = scenario.server
    before = cpu(server.workers)
    outcome = drive(server.url, scenario.calls, scenario.connections, seconds, scenario.mark, scenario.streams)
    after = cpu(server.workers)
    if not outcome.latencies:
        raise click.ClickException(f"{scenario.name}: no call succeeded: {dict(outcome.errors)}")
    return measured(outcome, Cpu(after.user - before.user, after.system - before.system))


if __name__ == "__main__":
    main()
