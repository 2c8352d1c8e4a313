"""How commands reach the stores; they need those and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.config import Secret
from gateway.config.environment import check_addresses, read_environment
from gateway.config.settings import Mistakes
from gateway.policy.keys import Refused
from gateway.policy.subjects import Misspelt
from gateway.stores import StoreError
from gateway.stores.counters import Counters
from gateway.stores.counters.opening import open_counters
from gateway.stores.ledger import Database, Operation, Transaction
from gateway.stores.ledger.opening import open_ledger

T = TypeVar("T")


def understood(parse: Callable[[], T]) -> T:
    """What `parse` returns; where it finds a mistake, that is wrong usage."""
    try:
        return parse()
    except Misspelt as error:
        raise click.UsageError(str(error)) from None


def read(work: Callable[[Transaction], T]) -> T:
    """Do work that only reads."""
    return _on_the_ledger(lambda database: database.read(work))


def look(work: Callable[[Transaction, Counters], T]) -> T:
    """Do work that only reads, also in the counters."""
    variables = _variables()
    url = variables.get("REDIS_URL")
    if variables.get("DATABASE_URL") and not url:
        click.echo("REDIS_URL is not set: limits per second to hour stand as this host alone counts them", err=True)
    return read(lambda tx: work(tx, open_counters(Secret(url) if url else None, _data_dir(variables))))


def write(operation: Operation, make: bool = False) -> Any:
    """Do work in a transaction, of a ledger that is made first where `make` says so."""

    def commit(database: Database) -> Any:
        outcome = database.transact([operation])[0]
        if outcome.error:
            raise outcome.error
        return outcome.result

    return _on_the_ledger(commit, make)


def _on_the_ledger(work: Callable[[Database], T], make: bool = False) -> T:
    """Do work on the ledger of DATABASE_URL or DATA_DIR, which is made only where `make` says so."""
    variables = _variables()
    url = variables.get("DATABASE_URL")
    named = "DATABASE_URL" if url else "DATA_DIR"
    data_dir = _data_dir(variables)
    before = _entries(data_dir)
    database, _ = open_ledger(Secret(url) if url else None, data_dir)
    try:
        there = database.exists()
        if not there and not make:
            raise click.ClickException(
                f"there is no ledger in {database.place}: run this where the service runs, or with its {named}"
            )
        database.prepare()
        if not there:
            click.echo(f"made a new ledger in {database.place}: is it the service's {named}?", err=True)
        return understood(lambda: work(database))
    except (StoreError, Refused) as error:
        raise click.ClickException(str(error)) from None
    finally:
        database.close()
        _hand_over(data_dir, before)


def _entries(directory: Path) -> set[Path]:
    """What is in it, for root; nobody else needs to know, or may."""
    return set(directory.iterdir()) if os.geteuid() == 0 and directory.is_dir() else set()


def _hand_over(data_dir: Path, before: set[Path]) -> None:
    """Give what root has made of a ledger to the owner of DATA_DIR: the service could not open it otherwise."""
    for made in _entries(data_dir) - before:
        if made.name.startswith("ledger.sqlite"):  # the service may be making others
            owner = data_dir.stat()
            try:
                os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)
            except FileNotFoundError:
                pass  # a log, which the service has removed meanwhile
            except OSError as error:
                click.echo(f"{made} is root's and not the directory's owner's: {error.strerror}", err=True)


def _variables() -> dict[str, str]:
    mistakes = Mistakes()
    variables = read_environment(os.environ, Path(".env"), mistakes)
    check_addresses(variables, mistakes)
    if mistakes.lines:
        raise click.ClickException("; ".join(mistakes.lines))
    return variables


def _data_dir(variables: dict[str, str]) -> Path:
    return Path(variables.get("DATA_DIR", "data")).resolve()
