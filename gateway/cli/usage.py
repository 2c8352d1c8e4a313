"""The command on usage."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import click

from gateway.accounting import reports
from gateway.cli.listing import listed, with_format
from gateway.cli.stores import read, understood
from gateway.policy.subjects import Misspelt


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
    first = understood(lambda: _first_day(since))
    rows = read(lambda tx: reports.usage(tx, by, first, tenant))
    click.echo(listed(rows, (by, *reports.COLUMNS), form))


def _first_day(since: str) -> str:
    if found := re.fullmatch(r"([0-9]{1,5})([dw])", since):
        days = int(found[1]) * (7 if found[2] == "w" else 1)
        return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()
    try:
        return date.fromisoformat(since).isoformat()
    except ValueError:
        raise Misspelt(f"{since!r} is no day: write 30d, 4w or 2026-11-01") from None
