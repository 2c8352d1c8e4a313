"""Commands on limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import click

from gateway.accounting import reports
from gateway.accounting.reports import Standing
from gateway.cli.listing import listed, with_format
from gateway.cli.stores import look, read, understood, write
from gateway.policy.book import LimitBook
from gateway.policy.keys import Refused, exists, tenant_of
from gateway.policy.limits import MODES, SLIDING
from gateway.policy.subjects import Subject, Whom
from gateway.services.standings import counted
from gateway.stores.counters import Counters
from gateway.stores.ledger import Transaction

_COLUMNS = ("subject", "user", "unit", "period", "mode", "limit", "spent", "held", "reset")


@click.group()
def limits() -> None:
    """Limits on what tenants, keys, users and models may use: SUBJECT UNIT/PERIOD VALUE.

    SUBJECT is tenant:NAME, key:ID, user:ID@TENANT, user:*@TENANT (each user), model:NAME, global, or two of them joined
    by '+'. UNIT is usd, tokens or requests; PERIOD is second, minute or hour, which slide, or day, week, month (UTC) or
    total. Alone, without a period, stands concurrency: how many calls may be in flight.
    """


@limits.command("set")
@click.argument("subject")
@click.argument("rate", metavar="UNIT/PERIOD")
@click.argument("value")
@click.option("--mode", type=click.Choice(MODES),
              help="hard (new ones are) is never passed; firm holds what such calls cost; soft warns")  # fmt: skip
def set_limit(subject: str, rate: str, value: str, mode: str | None) -> None:
    """Set a limit, such as tenant:default usd/month 500, or change one; 'gateway limits --help' has the words.

    It is in force within a second, in every worker; a limit of a calendar period, or in total, begins with what has
    been used in it, one in USD that slides with nothing. One that is changed keeps its mode unless another is given.
    """
    standing = write(lambda tx: reports.set_limit(tx, subject, rate, value, mode), make=True)
    limit = standing.limit
    said = f"{limit.subject.text} {rate}: {limit.write(limit.value)}, {limit.mode}"
    click.echo(f"{said}; {limit.write(standing.spent)} spent" if limit.in_ledger else said, err=True)
    for doubt in read(lambda tx: list(_doubts(tx, limit.subject))):
        click.echo(f"{doubt}: check the spelling", err=True)


@limits.command("list")
@click.argument("subject", required=False)
@with_format
def list_limits(subject: str | None, form: str) -> None:
    """List the limits with what is spent and held of each.

    A limit for each user is shown for the user who has used most of it; with SUBJECT, that subject's limits are listed,
    and such a one for every user, or for the one that SUBJECT names.
    """
    whose = understood(lambda: Subject.parse(subject)) if subject else None
    found = look(lambda tx, counters: _all(tx, counters, whose.whom.user_id if whose else None))
    if whose:
        found = [one for one in found if _is_of(one, whose)]
    else:
        nearest: dict[int, Standing] = {}
        for one in found:
            known = nearest.setdefault(one.limit.id, one)
            nearest[one.limit.id] = max(known, one, key=lambda one: one.spent + one.held)
        found = list(nearest.values())
    rows = []
    for one in sorted(found, key=Standing.order):
        nobody = one.limit.subject.each_of and not one.limit.in_ledger and not one.user
        rows.append(_row(one) | ({"spent": None} if nobody else {}))  # counters know no names to list
    click.echo(listed(rows, _COLUMNS, form))


@limits.command("explain")
@click.argument("subject")
@with_format
def explain(subject: str, form: str) -> None:
    """Tell which limits bear on the calls of SUBJECT, how each stands, and whether there is room for one more.

    Name a user to see the limits of each user, as in user:ann@search; a key's limits are those of its tenant too.
    """
    whose = understood(lambda: Subject.parse(subject))
    found = sorted(look(lambda tx, counters: _bearing(tx, counters, _whom(tx, whose))), key=Standing.order)
    if form != "table":
        click.echo(listed([_row(one) for one in found], _COLUMNS, form))
    for one in found if form == "table" else ():
        click.echo(_sentence(one))
    if not found:
        click.echo(f"no limit bears on {whose.text}", err=True)
    for doubt in read(lambda tx: list(_doubts(tx, whose))):
        click.echo(f"{doubt}: check the spelling", err=True)


@limits.command("remove")
@click.argument("subject")
@click.argument("rate", metavar="UNIT/PERIOD")
def remove_limit(subject: str, rate: str) -> None:
    """Remove a limit."""
    if not write(lambda tx: reports.remove_limit(tx, subject, rate)):
        raise click.ClickException(f"there is no limit {subject} {rate}; 'gateway limits list' shows all")


def _all(tx: Transaction, counters: Counters, user_id: str | None = None) -> list[Standing]:
    """How all limits stand; where one is for each user, of this one."""
    counting = [(limit, (user_id or "") if limit.subject.each_of else "") for limit in _of_counters(tx)]
    return [*reports.standings(tx), *counted(counters, counting)]


def _bearing(tx: Transaction, counters: Counters, whom: Whom) -> list[Standing]:
    return [*reports.standings_of(tx, whom), *counted(counters, _of_counters(tx).among(whom))]


def _of_counters(tx: Transaction) -> LimitBook:
    book = LimitBook(in_ledger=False)
    book.read(tx)
    return book


def _whom(tx: Transaction, subject: Subject) -> Whom:
    """Whose calls a subject means: those of a key are its tenant's."""
    whom = subject.whom
    if whom.key_id is None or whom.tenant is not None:
        return whom
    return replace(whom, tenant=tenant_of(tx, whom.key_id))


def _doubts(tx: Transaction, subject: Subject) -> Iterator[str]:
    """What it names and nobody knows."""
    tenant, key_id = subject.whom.tenant, subject.whom.key_id
    if tenant is not None and not exists(tx, tenant):
        yield f"there is no tenant {tenant!a} yet"
    if key_id is not None:
        try:
            tenant_of(tx, key_id)
        except Refused as refused:
            yield str(refused)


def _is_of(standing: Standing, subject: Subject) -> bool:
    limited = standing.limit.subject
    return subject.text in (limited.text, limited.named(standing.user))


def _row(standing: Standing) -> dict[str, Any]:
    limit = standing.limit
    return {
        "subject": limit.subject.text,
        "user": standing.user,
        "unit": limit.unit,
        "period": limit.period,
        "mode": limit.mode,
        "limit": limit.write(limit.value),
        "spent": limit.write(standing.spent),
        "held": limit.write(standing.held),
        "reset": standing.reset,
    }


def _sentence(standing: Standing) -> str:
    limit, left = standing.limit, standing.left
    said = f"{limit.subject.named(standing.user)} {limit.rate}, {limit.mode}: {limit.write(standing.spent)} of "
    said += f"{limit.write(limit.value)} used"
    if standing.held:
        said += f", {limit.write(standing.held)} held by calls in flight"
    if left:
        return f"{said}; {limit.write(left)} left"
    if limit.mode == "soft":
        return f"{said}; it refuses nothing"
    if standing.reset:
        return f"{said}; no call fits before {standing.reset}"
    return f"{said}; no call fits until {'earlier ones are forgotten' if limit.period in SLIDING else 'it is raised'}"
