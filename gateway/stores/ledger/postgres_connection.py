"""How PostgreSQL is reached: what bounds every wait for it, and what its failures are called."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8Dumper, IntLoader

from gateway.concurrency import hung_up
from gateway.stores import StoreError

logging.getLogger("psycopg").setLevel(logging.ERROR)  # it tells of connections that end, as we do

# What an address may say otherwise. A server that cannot be written is no use: of several, another one may be.
_DEFAULTS = {
    "application_name": "llm-gateway",
    "connect_timeout": "2",
    "target_session_attrs": "read-write",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# A worker that is stopped within a transaction holds all others up until the server ends it.
_SESSION = b"""
SET idle_in_transaction_session_timeout = '4s'; SET lock_timeout = '30s'; SET statement_timeout = '30s';
SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
SET client_encoding = 'UTF8'; SET synchronous_commit = on
"""
_MIGRATING = b"SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '60s'; SET statement_timeout = 0"
_LONGEST = 40.0  # seconds that a server which hangs is waited for; one that works has given up by itself
_UNRESOLVED = ("failed to resolve host", "could not translate host name")  # which show it: a password's end, perhaps
_OF_ONE = (psycopg.DataError, psycopg.IntegrityError)  # an operation's own fault; all else bears on any other too


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose every wait ends: after `patience` seconds, where nothing else ends it."""

    patience = _LONGEST

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            self.close()
            raise psycopg.OperationalError(f"no answer within {self.patience:g} s") from None

    @property
    def usable(self) -> bool:
        """Whether it is open at both ends, as far as one can know without asking."""
        return not self.closed and not hung_up(self.fileno())


def connect(url: str, patience: float = _LONGEST, migrating: bool = False) -> Connection:
    """Open a connection.

    Args:
        url: where to.
        patience: seconds that each of its answers is waited for.
        migrating: for whom transactions begin by themselves, and take as long as they do.

    Raises:
        psycopg.Error, StoreError: it cannot be opened.
    """
    try:
        parameters: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(url)}
    except psycopg.ProgrammingError:  # which shows the address
        raise StoreError("PostgreSQL: DATABASE_URL has an option that is unknown or misspelt") from None
    connection = Connection.connect(**parameters, autocommit=not migrating, prepare_threshold=0)
    connection.patience = patience
    connection.adapters.register_dumper(int, Int8Dumper)  # one type for all, so that a statement is prepared once
    connection.adapters.register_loader("numeric", IntLoader)  # sums of whole numbers
    try:
        connection.execute(_SESSION, prepare=False)
        if migrating:
            connection.execute(_MIGRATING, prepare=False)
        connection.commit()
    except psycopg.Error:
        connection.close()
        raise
    return connection


def unwatched(connection: Connection, pipeline: psycopg.Pipeline) -> None:
    """Have what is on its way answered in full before anybody reads it. A server that waits for the rest of a message
    would not end the transaction of a worker that stops there."""
    connection.pgconn.pipeline_sync()  # at once, where the library would wait for the next statement
    pipeline.result_queue.append(None)


def refused(error: Exception) -> bool:
    """Whether the server itself says of a statement that it failed, and with it its transaction. All else that breaks a
    commit leaves open what came of it, also where the connection still seems well: a session can be ended once it has
    committed, before it hears that nothing follows."""
    return isinstance(error, psycopg.Error) and error.diag.severity_nonlocalized == "ERROR"


def told(error: Exception) -> Exception:
    """The error as the rest of the house knows it: a StoreError, unless it is of one operation alone."""
    if not isinstance(error, psycopg.Error) or isinstance(error, _OF_ONE):
        return error
    text = error.diag.message_primary or str(error).rpartition("failed: ")[2].partition("\n")[0]
    if any(unresolved in str(error) for unresolved in _UNRESOLVED):
        text = "the name of its host cannot be resolved"
    return StoreError(f"PostgreSQL: {text or type(error).__name__}")
