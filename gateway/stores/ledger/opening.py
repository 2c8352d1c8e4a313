"""The one place that knows which database has the ledger."""

from __future__ import annotations

from pathlib import Path

from gateway.config.secrets import Secret
from gateway.stores.ledger import Database
from gateway.stores.ledger.owners import HostOwners, LeasedOwners, Owners


def open_ledger(database_url: Secret | None, data_dir: Path) -> tuple[Database, Owners]:
    """The ledger's database, and who holds what in it.

    Args:
        database_url: `postgresql://…`; None for SQLite.
        data_dir: the directory of all embedded state.
    """
    if database_url:
        from gateway.stores.ledger.postgresql import PostgresDatabase  # its driver is not loaded for nothing

        return PostgresDatabase(database_url.reveal()), LeasedOwners()
    from gateway.stores.ledger.sqlite import SqliteDatabase

    return SqliteDatabase(data_dir), HostOwners(data_dir)
