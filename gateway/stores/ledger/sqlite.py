"""The ledger in SQLite: one file for all workers of a host, whole after any of them is killed.

Only one process writes at a time, behind a lock of our own: SQLite's own wait polls, and starves some (measured:
seconds). Nothing here touches what gevent patches, since it runs in native threads too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, create_engine
from sqlalchemy.dialects import sqlite

from gateway.stores import StoreError
from gateway.stores.ledger import Operation, Outcome, Transaction, all_done, migrate
from gateway.stores.ledger.statements import compiled

T = TypeVar("T")

_FILE = "ledger.sqlite"
_PATIENCE = 10_000  # milliseconds that others who write without our lock, such as an operator's shell, are waited for
_FOR_ALL = (OSError, sqlite3.OperationalError, StoreError)  # locked, full, away: whatever was asked
_LONGEST_LOG = 4096  # pages of the write-ahead log, 16 MB, after which writers wait until it begins anew
_LARGEST_FILE = 64 * 2**20  # bytes of its file: what a long reader made it grow to is given back


class SqliteTransaction:
    """See `gateway.stores.ledger.Transaction`."""

    def __init__(self, connection: sqlite3.Connection, memory: dict[str, Any]) -> None:
        self._execute = connection.execute
        self.memory = memory
        self.notes: dict[str, Any] = {}
        self.last: dict[str, Callable[[], None]] = {}

    def run(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement; its rows."""
        text, constants, in_order = _statements()[name]
        return self._execute(text, in_order({**constants, **parameters} if constants else parameters)).fetchall()


@cache
def _statements() -> dict[str, tuple[str, Mapping[str, Any], Callable[[Mapping[str, Any]], Sequence[Any]]]]:
    found = compiled(sqlite.dialect(paramstyle="qmark"))  # the driver is faster with places than with names
    return {name: (text, constants, _in_order(names)) for name, (text, constants, names) in found.items()}


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda given: [given[name] for name in names]


class SqliteDatabase:
    """The ledger's file in `data_dir`; see `gateway.stores.ledger.Database`.

    Args:
        data_dir: the directory of all embedded state.
    """

    blocks = True

    def __init__(self, data_dir: Path) -> None:
        self.place = str(data_dir)
        self._path = data_dir / _FILE
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._waits = True  # the connection, for others who write without our lock
        self._memory: dict[str, Any] = {}

    def exists(self) -> bool:
        return self._path.exists()

    def prepare(self) -> None:
        _statements()  # once, in the master
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._turn(), contextlib.closing(self._connect("rwc")) as connection:
                if self._revision(connection) == migrate.HEAD:
                    return
                self._path.chmod(0o600)
                connection.execute("PRAGMA journal_mode=WAL")
            with self._turn():
                migrate.upgrade(create_engine(URL.create("sqlite", database=str(self._path))))
        except (OSError, sqlite3.Error, migrate.Failed) as error:
            raise StoreError(f"the ledger {self._path} cannot be prepared: {error}") from error

    def transact(self, operations: Sequence[Operation]) -> list[Outcome]:
        try:
            with self._turn():
                self._wait_for_others(True)
                return self._commit(operations)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked, in the thread that may log
            self._forget()
            if isinstance(error, _FOR_ALL) or type(error) is sqlite3.DatabaseError:  # which is: torn, no database
                return [Outcome(error=StoreError(f"the ledger {self._path}: {error}"))] * len(operations)
            if len(operations) == 1:
                return [Outcome(error=error)]
            return [outcome for operation in operations for outcome in self.transact([operation])]

    def at_once(self, operations: Sequence[Operation]) -> list[Outcome] | None:
        if self._connection is None:
            return None
        try:
            with self._turn(fcntl.LOCK_NB):
                self._wait_for_others(False)
                return self._commit(operations)
        except BlockingIOError:
            return None
        except Exception:  # noqa: BLE001 - `transact` meets it again, and says what it was
            self._forget()
            return None

    def read(self, work: Callable[[Transaction], T]) -> T:
        try:
            with contextlib.closing(sqlite3.connect(self._address("ro"), uri=True)) as connection:
                connection.execute("BEGIN")
                return work(SqliteTransaction(connection, {}))
        except sqlite3.Error as error:
            raise StoreError(f"the ledger cannot be read: {error}") from error

    def maintain(self) -> None:
        """Move the write-ahead log into the file: beside the writers, and before them only where it is long. Its own
        file keeps its size: else calls would wait while the disk makes room for it again."""
        try:
            with contextlib.closing(self._connect()) as connection:
                ((_, pages, _),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                if pages > _LONGEST_LOG:
                    connection.execute("PRAGMA busy_timeout=0")  # readers keep it from this; nobody waits for them
                    with self._turn():
                        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the ledger's log cannot be checkpointed: {error}") from error

    def room(self) -> None:
        """It takes as many as there are."""

    def close(self) -> None:
        self._forget()

    def _commit(self, operations: Sequence[Operation]) -> list[Outcome]:
        inode = self._path.stat().st_ino
        if self._connection is None or inode != self._inode:  # what was moved away could be written to the end
            self._forget()
            self._connection, self._inode = self._connect(), inode
            if self._revision(self._connection) != migrate.HEAD:
                raise StoreError(f"the ledger {self._path} is not of this version of the gateway")
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        transaction = SqliteTransaction(connection, self._memory)
        outcomes = all_done(operations, transaction)
        connection.execute("COMMIT")
        return outcomes

    def _wait_for_others(self, waits: bool) -> None:
        if self._connection and waits != self._waits:
            self._connection.execute(f"PRAGMA busy_timeout={_PATIENCE if waits else 0}")
            self._waits = waits

    def _address(self, mode: str) -> str:
        return f"file:{quote(str(self._path))}?mode={mode}"

    def _connect(self, mode: str = "rw") -> sqlite3.Connection:
        """Connect to the file. Only `prepare` may make it: an empty one in its place would undo its log."""
        connection = sqlite3.connect(
            self._address(mode), timeout=_PATIENCE / 1000, isolation_level=None, check_same_thread=False, uri=True
        )
        connection.execute("PRAGMA synchronous=NORMAL")  # whole after a kill; a power cut may take the last moments
        connection.execute("PRAGMA wal_autocheckpoint=0")  # it would stop all writers, see `maintain`
        connection.execute(f"PRAGMA journal_size_limit={_LARGEST_FILE}")
        return connection

    def _forget(self) -> None:
        """Close the connection, and with it a transaction that was not committed."""
        connection, self._connection, self._waits = self._connection, None, True
        self._memory.clear()
        if connection:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _revision(self, connection: sqlite3.Connection) -> str | None:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchall():
            return None
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return rows[0][0] if rows else None

    @contextlib.contextmanager
    def _turn(self, how: int = 0) -> Iterator[None]:
        """Be the only writer on this host; the kernel frees the lock of a process that dies. Raises BlockingIOError
        where another one is, and `how` is LOCK_NB."""
        descriptor = os.open(f"{self._path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | how)
            yield
        finally:
            os.close(descriptor)
