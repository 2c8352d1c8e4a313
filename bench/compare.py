"""Our gateway beside its peers: all are up at once, and take turns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from bench import ours, scenarios, servers
from bench.peers import PEERS
from bench.report import Row, summarize
from bench.scenarios import Scenario, Turn
from bench.servers import Cores

_DIRECT = "direct"


def compare(directory: Path, cores: Cores, wanted: list[str], rounds: int, seconds: float) -> list[Row]:
    """A row for each scenario of each server: our gateway, calls without one, and the peers of these names.

    Raises:
        ClickException: a server of ours does not start, or no call of a scenario succeeds.
        OSError: a server is gone.
    """
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.upstream(directory / _DIRECT, cores))
        upstream.wait()
        gateway = stack.enter_context(ours.gateway(directory / ours.NAME, cores, upstream))
        hits = ours.gateway(directory / "caching", cores, upstream, name=f"{ours.NAME}, cache", CACHE_TTL="3600")
        caching = stack.enter_context(hits)
        peers = [peer.start(directory / peer.name, cores, upstream) for peer in PEERS if peer.name in wanted]
        others = [stack.enter_context(peer) for peer in peers]
        for server in (gateway, caching):
            server.wait()
        others = [peer for peer in others if _works(peer.wait)]
        chosen = [each for server in (upstream, gateway) for each in scenarios.of(server)]
        alone = list(scenarios.of_ours(gateway, caching))
        for scenario in (*chosen, *alone):
            scenario.warm_up(seconds)
        asked = [each for peer in others for each in scenarios.of(peer)]
        chosen += [each for each in asked if _works(partial(each.warm_up, seconds))] + alone
        chosen.sort(key=lambda each: (each.name, each.connections))  # what is compared, one after the other
        return _summary(chosen, _rounds(chosen, rounds, seconds))


def _works(attempt: Callable[[], None]) -> bool:
    """Whether what a peer is asked for first succeeds; if not, it is told, and the rest is measured without."""
    try:
        attempt()
    except click.ClickException as error:
        click.echo(f"LEFT OUT: {error.message}", err=True)
        return False
    return True


def _rounds(chosen: list[Scenario], rounds: int, seconds: float) -> list[list[Turn]]:
    """The turns of each scenario: every one takes one a round, so that a machine that slows down slows them all."""
    turns: list[list[Turn]] = [[] for _ in chosen]
    for number in range(1, rounds + 1):
        for scenario, own in zip(chosen, turns, strict=True):
            own.append(scenarios.take(scenario, seconds))
            speed = f"{own[-1].per_second:,.0f} {scenario.unit}s/s, CPU {own[-1].cpu_us:,.0f} us"
            what = f"{scenario.name} of {scenario.server.name}, c={scenario.connections}"
            click.echo(f"round {number}/{rounds}: {what}: {speed}", err=True)
    return turns


def _summary(chosen: list[Scenario], turns: list[list[Turn]]) -> list[Row]:
    found = {
        (each.name, each.connections): own
        for each, own in zip(chosen, turns, strict=True)
        if each.server.name == _DIRECT
    }
    return [
        summarize(each, own, None if each.server.name == _DIRECT else found.get((each.name, each.connections)))
        for each, own in zip(chosen, turns, strict=True)
    ]
