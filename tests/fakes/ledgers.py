"""Ledgers that are ready at once, and calls to hold."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from decimal import Decimal
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from gateway.accounting import entries, reports
from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Claim
from gateway.accounting.prices import own_price
from gateway.model import Usage
from gateway.policy.subjects import Payer
from gateway.stores.ledger import Database, Operation
from gateway.stores.ledger.owners import HostOwners, LeasedOwners, Owners
from gateway.stores.ledger.postgres_connection import connect
from gateway.stores.ledger.postgresql import PostgresDatabase
from gateway.stores.ledger.sqlite import SqliteDatabase

T = TypeVar("T")

FILE = "ledger.sqlite"
Place = Path | str  # of a ledger: SQLite's directory, or PostgreSQL's address
SECOND = 1_000_000_000  # nanoseconds
PRICE = own_price({"input": Decimal("0.002"), "output": Decimal("0.003")})  # 2 and 3 nano-USD a token


@cache
def _prepared() -> bytes:
    with TemporaryDirectory() as directory:
        SqliteDatabase(Path(directory)).prepare()
        return Path(directory, FILE).read_bytes()


def ledger_in(directory: Path) -> SqliteDatabase:
    """A ledger without entries: a copy of one that was prepared, which takes no time."""
    (directory / FILE).write_bytes(_prepared())
    return SqliteDatabase(directory)


def ledger_at(place: Place) -> Database:
    """The ledger that is there, as any process would open it."""
    return SqliteDatabase(place) if isinstance(place, Path) else PostgresDatabase(place)


def owners_at(place: Place) -> Owners:
    """Who holds what there, likewise."""
    return HostOwners(place) if isinstance(place, Path) else LeasedOwners()


def done(database: Database, operation: Operation) -> Any:
    """What an operation returns in a transaction of its own. Raises what it raises."""
    (outcome,) = database.transact([operation])
    if outcome.error:
        raise outcome.error
    return outcome.result


def claim(call_id: str = "call", attempt: int = 1, owner: str = "worker", **facts: Any) -> Claim:
    """A call of tenant `t`, key `k`, user `u`, model `m`, of 10 tokens at most in and 10 out: 50 nano-USD."""
    bound = Bound(10, 10, PRICE)
    known = {"tenant": "t", "key_id": "k", "user_id": "u", "names": "m", "model": "gpt", "provider": "openai"}
    known |= {"request_id": call_id, "stream": False, **facts}
    payer = Payer(known["tenant"], known["key_id"], known["user_id"], known["names"].split(" "))
    return Claim(call_id, attempt, owner, payer, known, bound, bound)


def spend(database: Database, call_id: str, now: int, usage: Usage = Usage(10, 10), **facts: Any) -> None:  # noqa: B008 - frozen
    """Hold a call at `now` and settle it at once."""
    done(database, lambda tx: entries.hold(tx, claim(call_id, **facts), now))
    done(database, lambda tx: entries.settle(tx, call_id, 1, now, usage, PRICE.cost(usage), {"status": 200}))


def limit(database: Database, subject: str, rate: str, value: str, mode: str = "hard") -> None:
    """Set a limit."""
    done(database, lambda tx: reports.set_limit(tx, subject, rate, value, mode))


def rows(place: Place, query: str) -> list[tuple[Any, ...]]:
    """What the database says to anyone who asks it."""
    with closing(asked(place)) as connection:
        found: list[tuple[Any, ...]] = connection.execute(query).fetchall()
        return found


def asked(place: Place) -> Any:
    """A connection of the database's own kind."""
    return sqlite3.connect(place / FILE) if isinstance(place, Path) else connect(place)


def everything(place: Place) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables but the number of changes."""
    tables = ("limits", "balances", "holds", "usage", "days", "totals")
    with closing(asked(place)) as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=str) for table in tables}


def processes() -> ForkServerContext:
    """Other processes, made of one that has all modules already and no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "pytest"])
    return context
