"""The operator's command line: `gateway …`, also installed as `llm-gateway`."""

from __future__ import annotations

import click

from gateway import __version__
from gateway.cli import keys, limits, service, usage


@click.group()
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """Operate the LLM gateway. Every command reads the environment, .env and gateway.yaml as the service does; those on
    the ledger need only DATABASE_URL or DATA_DIR."""


for command in (service.check, service.schema, service.init, keys.tenants, keys.keys, limits.limits, usage.usage):
    main.add_command(command)
