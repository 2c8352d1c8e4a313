"""Commands on tenants and their keys."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

from gateway.cli.listing import listed, with_format
from gateway.cli.stores import read, write
from gateway.policy import keys as policy

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TENANT_COLUMNS = ("tenant", "keys", "created")
_KEY_COLUMNS = ("id", "tenant", "name", "role", "models", "state", "created", "expires")
_LONGEST = 100 * 366 * 86_400  # seconds


class Duration(click.ParamType[int]):
    """A length of time such as 90d, as seconds."""

    name = "90d|12h|30m|10s"

    def __init__(self, shortest: int = 0) -> None:
        self._shortest = shortest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhdw])", value)
        seconds = int(found[1]) * _UNITS[found[2]] if found else _LONGEST + 1
        if not self._shortest <= seconds <= _LONGEST:
            self.fail(f"{value!r} is no such length of time: write 90d, 4w, 12h, 30m or 10s, of 100 years at most")
        return seconds


class Models(click.ParamType[list[str]]):
    """Names of models, separated by commas."""

    name = "fast,smart"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        names = [name.strip() for name in value.split(",")]
        if not all(re.fullmatch(r"[!-~]{1,256}", name) for name in names):
            self.fail(f"{value!r} is no list of models: separate their names by single commas")
        return names


@click.group()
def tenants() -> None:
    """Tenants: the teams that keys, limits and usage belong to. 'default' is always there."""


@tenants.command("create")
@click.argument("name")
def create_tenant(name: str) -> None:
    """Make a tenant; its keys and limits come next."""
    write(lambda tx: policy.create_tenant(tx, name, _now_ms()), make=True)
    click.echo(f"made the tenant {name}; 'gateway keys create --tenant {name}' makes it a key", err=True)


@tenants.command("list")
@with_format
def list_tenants(form: str) -> None:
    """List the tenants, each with how many keys it has in force."""
    rows = [
        {"tenant": tenant.name, "keys": tenant.keys, "created": _instant(tenant.created_ms or None)}
        for tenant in read(lambda tx: policy.tenants(tx, _now_ms()))
    ]
    click.echo(listed(rows, _TENANT_COLUMNS, form))


@tenants.command("delete")
@click.argument("name")
def delete_tenant(name: str) -> None:
    """Delete a tenant and revoke its keys; what it has used stays in the ledger."""
    revoked = write(lambda tx: policy.delete_tenant(tx, name, _now_ms()))
    click.echo(f"deleted the tenant {name} and revoked {revoked} of its keys", err=True)


@click.group()
def keys() -> None:
    """Virtual keys, each of a tenant. Every change is in force in all workers within a second.

    The service knows no more of a key than its id and its hash: what 'create' and 'rotate' print is never shown again.
    """


@keys.command("create")
@click.option("--tenant", required=True)
@click.option("--name", default="", help="for people, such as what uses it")
@click.option("--role", type=click.Choice(policy.ROLES), default=policy.ROLES[0], show_default=True,
              help="an admin may also manage the keys of its tenant and see its usage")  # fmt: skip
@click.option("--expires", type=Duration(shortest=1), help="after which it is refused; never, if not given")
@click.option("--models", type=Models(), help="the names that it may ask for; all, if not given")
def create_key(tenant: str, name: str, role: str, expires: int | None, models: list[str] | None) -> None:
    """Make a key and print it: alone, on standard output, once."""
    now = _now_ms()
    until = None if expires is None else now + expires * 1000
    click.echo(write(lambda tx: policy.create_key(tx, tenant, now, name, role, until, models), make=True))
    ends = f"until {_instant(until)}" if until else "until it is revoked"
    click.echo(f"a {role}'s key of {tenant} for {','.join(models or ['all models'])}, {ends}", err=True)


@keys.command("list")
@click.option("--tenant", help="only this tenant's")
@with_format
def list_keys(tenant: str | None, form: str) -> None:
    """List the keys, without what only their users know."""
    now = _now_ms()
    rows = [
        {
            "id": key.id,
            "tenant": key.tenant,
            "name": key.name,
            "role": key.role,
            "models": None if key.models is None else ",".join(sorted(key.models)),
            "state": key.state(now),
            "created": _instant(key.created_ms),
            "expires": _instant(key.expires_ms),
        }
        for key in read(policy.keys)
        if tenant in (None, key.tenant)
    ]
    click.echo(listed(rows, _KEY_COLUMNS, form))


@keys.command("rotate")
@click.argument("key_id", metavar="ID")
@click.option("--overlap", type=Duration(), default="1h", show_default=True,
              help="for how long the old credential is still taken; 0s for not at all")  # fmt: skip
def rotate_key(key_id: str, overlap: int) -> None:
    """Give a key a new credential and print it: alone, on standard output, once.

    Its id stays, and with it its limits and its usage. Revoke a key that is in wrong hands instead.
    """
    now = _now_ms()
    until = now + overlap * 1000
    click.echo(write(lambda tx: policy.rotate_key(tx, key_id, until, now)))
    click.echo(f"the credential that {key_id} had before is taken until {_instant(until)}", err=True)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(key_id: str) -> None:
    """Refuse a key from now on, for good."""
    revoked = write(lambda tx: policy.revoke_key(tx, key_id, _now_ms()))
    click.echo(f"revoked the key {key_id}" if revoked else f"the key {key_id} had been revoked before", err=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _instant(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
