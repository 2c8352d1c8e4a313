"""What Alembic runs to reach the database: all steps in one transaction, so that a kill leaves all or nothing."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, event

from gateway.stores.ledger.migrate import LOCK
from gateway.stores.ledger.tables import metadata

engine: Engine = context.config.attributes["engine"]
if engine.dialect.name == "sqlite":  # Python's driver would commit each table by itself

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        if engine.dialect.name != "sqlite":  # two gateways may start at once
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context.run_migrations()
