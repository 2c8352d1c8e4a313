"""Commands on the service: what it needs, and whether it has it."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

import click

from gateway.accounting import prices, tokens
from gateway.accounting.costs import Costs
from gateway.config import ConfigError, load
from gateway.config.environment import read_environment
from gateway.config.loading import DEFAULT_FILE
from gateway.config.schema import json_schema
from gateway.config.settings import Mistakes
from gateway.config.yaml_file import read_yaml
from gateway.providers import registry
from gateway.routing.router import Router
from gateway.services.check import findings

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command()
def check() -> None:
    """Check the configuration and ask every provider: what works, what does not, and why."""
    try:
        settings = load()
        router = Router(settings, prices.catalogue())
        router.check()
        counter = tokens.load(settings.tokenizer_dir)
        providers = registry.build(settings.providers, counter.count, counter.count_prompt)
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(f"{click.style('failed ', 'red')} {mistake}", err=True)
        sys.exit(1)
    costs = Costs(settings, prices.catalogue(), unpriced=lambda provider, model: None)
    failed = False
    for finding in findings(settings, router, providers, counter, costs):
        failed |= finding.state == "failed"
        click.echo(f"{click.style(f'{finding.state:7}', _COLOURS[finding.state])} {finding.subject}: {finding.text}")
    sys.exit(failed)


@click.command()
def schema() -> None:
    """Print the JSON Schema of gateway.yaml, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
def init() -> None:
    """Write a fresh random API_KEY and MODEL_NAME=offline/echo into .env.

    Each only where neither the environment nor .env has it, MODEL_NAME only if the file has no default_model either.
    """
    dotenv = Path(".env")
    mistakes = Mistakes()
    known = read_environment(os.environ, dotenv, mistakes)
    if mistakes.lines:
        raise click.ClickException("; ".join(mistakes.lines))
    lines = []
    if "API_KEY" not in known:
        lines.append(f"API_KEY={secrets.token_urlsafe(32)}")
    file = Path(known.get("GATEWAY_CONFIG", DEFAULT_FILE))
    said = read_yaml(file, known, Mistakes())[0] if file.is_file() else {}  # its mistakes are told at the start
    if "MODEL_NAME" not in known and "default_model" not in said:
        lines.append("MODEL_NAME=offline/echo")
    if not lines:
        return
    old = dotenv.read_text(encoding="utf-8") if dotenv.exists() else ""
    if old and not old.endswith("\n"):
        old += "\n"
    dotenv.touch(mode=0o600)
    dotenv.chmod(0o600)
    dotenv.write_text(old + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    click.echo(f"wrote {', '.join(line.partition('=')[0] for line in lines)} into .env", err=True)
