"""`python -m bench.agents`: real coding agents through our gateway, which must change nothing and count everything."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from bench.agents.agents import AGENTS, MODELS, Agent
from bench.agents.run import CHECKS, Outcome, rig
from bench.report import aligned

_FAMILIES = ("claude", "codex", "opencode")


def _chosen(_: click.Context, __: click.Parameter, value: str) -> list[Agent]:
    names = value.split(",")
    unknown = [name for name in names if name not in _FAMILIES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(_FAMILIES)}")
    return [agent for agent in AGENTS if agent.executable in names]


def _line(outcome: Outcome) -> list[str]:
    agent = outcome.agent
    marks = [("no" if outcome.faults[name] else "yes") if name in outcome.faults else "" for name in CHECKS]
    exited = "ended" if outcome.exit is None else str(outcome.exit)
    return [agent.name, agent.version, outcome.by, str(outcome.calls), exited, *marks]


def _empty(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    if value and value.exists() and any(value.iterdir()):
        raise click.BadParameter(f"{value} is not empty")
    return value


@click.command()
@click.option("--agents", default=",".join(_FAMILIES), callback=_chosen, help="Which, separated by commas.")
@click.option("--cross", is_flag=True, help="Have each answered by the other vendor too, by translation.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    callback=_empty,
    help="Keep what they wrote and sent in this folder, which is made.",
)
def main(agents: list[Agent], cross: bool, keep: Path | None) -> None:
    """Install the agents where they are missing, run each, and print a table; exit with 1 if anything was not as it
    should be."""
    for agent in agents:
        agent.install()
    with ExitStack() as stack:
        home = keep or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True))
        )
        running = stack.enter_context(rig(home.resolve()))
        outcomes = [running.try_out(agent, agent.vendor) for agent in agents]
        if cross:
            outcomes += [running.try_out(agent, by) for agent in agents for by in MODELS if by != agent.vendor]
        overall = running.overall()
    click.echo(aligned(["agent", "version", "answered by", "calls", "exit", *CHECKS], [*map(_line, outcomes)]))
    faults = [f"{each.agent.name} by {each.by}, {name}: {fault}" for each in outcomes
              for name, found in each.faults.items() for fault in found]  # fmt: skip
    dropped = [
        f"{each.agent.name} by {each.by}: left out: {', '.join(sorted(each.dropped))}"
        for each in outcomes
        if each.dropped
    ]
    for line in [*dropped, *faults, *overall]:
        click.echo(line)
    raise SystemExit(1 if faults or overall else 0)


if __name__ == "__main__":
    main()
