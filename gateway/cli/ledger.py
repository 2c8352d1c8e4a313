"""Commands on the ledger; they need the stores and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.accounting import reports
from gateway.cli.listing import listed, with_format
from gateway.config.environment import read_environment
from gateway.config.secrets import Secret
from gateway.config.settings import Mistakes
from gateway.policy.limits import MODES, Misspelt, Subject
from gateway.stores import StoreError
from gateway.stores.ledger import Database, Operation, Transaction
from gateway.stores.ledger.opening import open_ledger

T = TypeVar("T")

_LIMIT_COLUMNS = ("subject", "user", "unit", "period", "mode", "limit", "spent", "held", "reset")


@click.group()
def limits() -> None:
    """Limits on what tenants, keys, users and models may use: SUBJECT UNIT/PERIOD VALUE.

    SUBJECT is tenant:NAME, key:ID, user:ID@TENANT, user:*@TENANT (each user), model:NAME, global, or two of them joined
    by '+'. UNIT is usd, tokens or requests; PERIOD is day, week, month (UTC) or total, for usd also second, minute and
    hour.
    """


@limits.command("set")
@click.argument("subject")
@click.argument("rate", metavar="UNIT/PERIOD")
@click.argument("value")
@click.option("--mode", type=click.Choice(MODES),
              help="hard (new ones are) is never passed; firm holds what such calls cost; soft warns")  # fmt: skip
def set_limit(subject: str, rate: str, value: str, mode: str | None) -> None:
    """Set a limit, such as tenant:default usd/month 500, or change one; 'gateway limits --help' has the words.

    It is in force at once, in every worker; a limit of a calendar period, or in total, begins with what has been used
    in it. One that is changed keeps its mode unless another is given.
    """
    standing = _write(lambda tx: reports.set_limit(tx, subject, rate, value, mode), make=True)
    limit = standing.limit
    said = f"{limit.subject.text} {rate}: {limit.write(limit.value)}, {limit.mode}; {limit.write(standing.spent)} spent"
    if not standing.spent and not standing.held:
        said += "; nothing counts against it yet: check the spelling if something should"
    click.echo(said, err=True)


@limits.command("list")
@click.argument("subject", required=False)
@with_format
def list_limits(subject: str | None, form: str) -> None:
    """List the limits with what is spent and held of each.

    A limit for each user is shown for the user who has used most of it; with SUBJECT, that subject's limits are listed,
    and such a one for every user, or for the one that SUBJECT names.
    """
    found = _read(lambda tx: list(reports.standings(tx)))
    if subject:
        whose = _understood(lambda: Subject.parse(subject).text)
        found = [one for one in found if whose in (one.limit.subject.text, one.limit.subject.named(one.user))]
    else:
        nearest: dict[int, reports.Standing] = {}
        for one in found:
            known = nearest.setdefault(one.limit.id, one)
            nearest[one.limit.id] = max(known, one, key=lambda one: one.spent + one.held)
        found = list(nearest.values())
    rows = [
        {
            "subject": one.limit.subject.text,
            "user": one.user,
            "unit": one.limit.unit,
            "period": one.limit.period,
            "mode": one.limit.mode,
            "limit": one.limit.write(one.limit.value),
            "spent": one.limit.write(one.spent),
            "held": one.limit.write(one.held),
            "reset": one.reset,
        }
        for one in found
    ]
    click.echo(listed(rows, _LIMIT_COLUMNS, form))


@limits.command("remove")
@click.argument("subject")
@click.argument("rate", metavar="UNIT/PERIOD")
def remove_limit(subject: str, rate: str) -> None:
    """Remove a limit."""
    if not _write(lambda tx: reports.remove_limit(tx, subject, rate)):
        raise click.ClickException(f"there is no limit {subject} {rate}; 'gateway limits list' shows all")


@click.command()
@click.option("--by", type=click.Choice([*reports.BY]), default="tenant", show_default=True)
@click.option("--since", default="30d", show_default=True, metavar="30d|4w|2026-11-01",
              help="the first day, in UTC, or how long before today it was")  # fmt: skip
@click.option("--tenant", default="", help="only this tenant's")
@with_format
def usage(by: str, since: str, tenant: str, form: str) -> None:
    """What was used and what it cost.

    Whole days of UTC. A request counts once, by model and by provider once for each call that was made for it; errors
    are calls that brought no whole answer; held_usd is held by calls in flight.
    """
    first = _understood(lambda: _first_day(since))
    rows = _read(lambda tx: reports.usage(tx, by, first, tenant))
    click.echo(listed(rows, (by, *reports.COLUMNS), form))


def _first_day(since: str) -> str:
    if found := re.fullmatch(r"([0-9]{1,5})([dw])", since):
        days = int(found[1]) * (7 if found[2] == "w" else 1)
        return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()
    try:
        return date.fromisoformat(since).isoformat()
    except ValueError:
        raise Misspelt(f"{since!r} is no day: write 30d, 4w or 2026-11-01") from None


def _understood(parse: Callable[[], T]) -> T:
    try:
        return parse()
    except Misspelt as error:
        raise click.UsageError(str(error)) from None


def _read(work: Callable[[Transaction], T]) -> T:
    return _on_the_ledger(lambda database: database.read(work))


def _write(operation: Operation, make: bool = False) -> Any:
    def write(database: Database) -> Any:
        outcome = database.transact([operation])[0]
        if outcome.error:
            raise outcome.error
        return outcome.result

    return _on_the_ledger(write, make)


def _on_the_ledger(work: Callable[[Database], T], make: bool = False) -> T:
    """Do work on the ledger of DATABASE_URL or DATA_DIR, which is made only where `make` says so."""
    mistakes = Mistakes()
    variables = read_environment(os.environ, Path(".env"), mistakes)
    if mistakes.lines:
        raise click.ClickException("; ".join(mistakes.lines))
    url = variables.get("DATABASE_URL")
    named = "DATABASE_URL" if url else "DATA_DIR"
    database, _ = open_ledger(Secret(url) if url else None, Path(variables.get("DATA_DIR", "data")).resolve())
    try:
        there = database.exists()
        if not there and not make:
            raise click.ClickException(
                f"there is no ledger in {database.place}: run this where the service runs, or with its {named}"
            )
        database.prepare()
        if not there:
            click.echo(f"made a new ledger in {database.place}: is it the service's {named}?", err=True)
        return _understood(lambda: work(database))
    except StoreError as error:
        raise click.ClickException(str(error)) from None
    finally:
        database.close()
