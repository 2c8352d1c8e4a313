"""The operator's command line: `gateway …`, also installed as `llm-gateway`."""

from __future__ import annotations

from importlib import import_module

import click

from gateway import __version__

_COMMANDS = {
    "check": "service", "schema": "service", "init": "service", "tenants": "keys", "keys": "keys", "limits": "limits",
    "usage": "usage", "translation": "translation",
}  # fmt: skip


class _Commands(click.Group):
    """Loads a command when it is asked for: most need little of the house."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{_COMMANDS[name]}"), name)
        return command


@click.group(cls=_Commands)
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """Operate the LLM gateway. Every command reads the environment, .env and gateway.yaml as the service does; those on
    tenants, keys, limits and usage need only DATA_DIR, or DATABASE_URL."""
