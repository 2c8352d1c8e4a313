"""The ledger in PostgreSQL: one database for all hosts.

Only one transaction writes at a time, over all hosts, behind an advisory lock that ends with it: each sees all that was
committed before, as in SQLite. It is waited for in greenlets, where those serve. Statements that return nothing are not
waited for at all: they go with the next that does, or with the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from typing import Any, TypeVar

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql import psycopg as dialect

from gateway.stores import StoreError
from gateway.stores.ledger import InDoubt, Operation, Outcome, Transaction, all_done, migrate
from gateway.stores.ledger.postgres_connection import Connection, connect, refused, told, unwatched
from gateway.stores.ledger.statements import compiled

T = TypeVar("T")

_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_TURN = f"SELECT pg_advisory_xact_lock({migrate.LOCK})".encode()
_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_MIGRATION = 3600.0  # seconds that a step may take
_PATIENCE = 5.0  # seconds that a reader waits: for its turn, and for each answer
_ROOM = b"""
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0), rolconnlimit, datconnlimit
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()
"""


class PostgresTransaction:
    """See `gateway.stores.ledger.Transaction`."""

    def __init__(
        self, connection: Connection, memory: dict[str, Any], pipeline: psycopg.Pipeline | None = None
    ) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self.memory = memory
        self.notes: dict[str, Any] = {}
        self.last: dict[str, Callable[[], None]] = {}

    def run(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement; its rows. One without rows may fail later in its transaction."""
        text, constants, has_rows = _statements()[name]
        given = {key: _storable(value) if type(value) is str else value for key, value in parameters.items()}
        cursor = self._connection.execute(text, {**constants, **given})
        if self._pipeline and has_rows:
            self._pipeline.sync()
        elif self._pipeline:
            unwatched(self._connection, self._pipeline)
        return cursor.fetchall() if has_rows else []


@cache
def _statements() -> dict[str, tuple[bytes, Mapping[str, Any], bool]]:
    found = compiled(dialect.dialect())  # type: ignore[no-untyped-call]
    return {
        name: (text.encode(), constants, text.startswith("SELECT") or "RETURNING" in text)
        for name, (text, constants, _) in found.items()
    }


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL, which a client or a provider may send."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


class PostgresDatabase:
    """The ledger at `url`; see `gateway.stores.ledger.Database`. A process has two connections at most: the writer's,
    and one for all who read.

    Args:
        url: `postgresql://`, with the password if there is one.
    """

    blocks = False
    place = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self._url = url
        self._writer: Connection | None = None
        self._memory: dict[str, Any] = {}
        self._reader: Connection | None = None
        self._reading = threading.Lock()
        self._committing = False

    def exists(self) -> bool:
        try:
            with closing(connect(self._url, _PATIENCE)) as connection:
                return _revision(connection) is not None
        except psycopg.Error as error:
            raise told(error) from error

    def prepare(self) -> None:
        _statements()  # once, in the master
        try:
            with closing(connect(self._url)) as connection:
                if connection.info.parameter_status("server_encoding") != "UTF8":
                    raise StoreError(
                        "PostgreSQL: the ledger's database must be in UTF8: CREATE DATABASE … ENCODING 'UTF8'"
                    )
                if _revision(connection) == migrate.HEAD:
                    return
            migrate.upgrade(
                create_engine("postgresql+psycopg://", creator=lambda: connect(self._url, _MIGRATION, migrating=True))
            )
        except psycopg.Error as error:
            raise told(error) from error
        except migrate.Failed as error:
            reason = str(error).partition("\n")[0]
            raise StoreError(f"PostgreSQL: the ledger cannot be brought up to date: {reason}") from error

    def transact(self, operations: Sequence[Operation]) -> list[Outcome]:
        try:
            return self._commit(operations)
        except Exception as raised:  # noqa: BLE001 - handed to whoever asked
            in_doubt = self._committing and not refused(raised)
            self._committing = False
            self._forget()
            error = InDoubt(str(told(raised))) if in_doubt else told(raised)
            if isinstance(error, StoreError):
                return [Outcome(error=error)] * len(operations)
            if len(operations) == 1:
                return [Outcome(error=error)]
            return [outcome for operation in operations for outcome in self.transact([operation])]

    def at_once(self, operations: Sequence[Operation]) -> list[Outcome] | None:
        return None  # a server is always waited for

    def read(self, work: Callable[[Transaction], T]) -> T:
        if not self._reading.acquire(timeout=_PATIENCE):
            raise StoreError("PostgreSQL: others have been reading for too long")
        connection, self._reader = self._reader, None
        try:
            if connection is not None and not connection.usable:
                connection.close()
                connection = None
            connection = connection or connect(self._url, _PATIENCE)
            connection.execute(_READ)
            result = work(PostgresTransaction(connection, {}))
            connection.execute(b"COMMIT")
            self._reader, connection = connection, None
        except psycopg.Error as error:
            raise told(error) from error
        finally:
            self._reading.release()
            if connection:
                connection.close()
        return result

    def maintain(self) -> None:
        """Nothing: the server does it by itself."""

    def room(self) -> int:
        """How many connections the server has for us. Raises StoreError."""
        try:
            with closing(connect(self._url, _PATIENCE)) as connection:
                found = connection.execute(_ROOM).fetchall()[0]
        except psycopg.Error as error:
            raise told(error) from error
        room: int = min(limit for limit in found if limit >= 0)
        return room

    def close(self) -> None:
        self._forget()
        reader, self._reader = self._reader, None
        if reader:
            reader.close()

    def _commit(self, operations: Sequence[Operation]) -> list[Outcome]:
        connection = self._open()
        with connection.pipeline() as pipeline:
            connection.execute(_BEGIN)
            connection.execute(_TURN)
            unwatched(connection, pipeline)
            transaction = PostgresTransaction(connection, self._memory, pipeline)
            outcomes = all_done(operations, transaction)
            self._committing = True
            connection.execute(b"COMMIT")  # which fails where something before it did
        self._committing = False
        return outcomes

    def _open(self) -> Connection:
        if self._writer is None or not self._writer.usable:
            self._forget()
            self._writer = connect(self._url)
            if _revision(self._writer) != migrate.HEAD:
                raise StoreError("PostgreSQL: the ledger is not of this version of the gateway")
        return self._writer

    def _forget(self) -> None:
        """Close the writer's connection, and with it a transaction that was not committed."""
        connection, self._writer = self._writer, None
        self._memory.clear()
        if connection:
            with suppress(psycopg.Error):
                connection.close()


def _revision(connection: Connection) -> str | None:
    if connection.execute(b"SELECT to_regclass('alembic_version')").fetchall() == [(None,)]:
        return None
    rows = connection.execute(b"SELECT version_num FROM alembic_version").fetchall()
    return rows[0][0] if rows else None
