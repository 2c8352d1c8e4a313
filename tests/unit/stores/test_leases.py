"""An owner on any host lives as long as it renews its lease, in the database's clock, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from gateway.accounting import entries
from gateway.stores.ledger import migrate
from gateway.stores.ledger import owners as module
from gateway.stores.ledger.owners import LeasedOwners
from gateway.stores.ledger.postgres_connection import connect
from gateway.stores.ledger.postgresql import PostgresDatabase
from gateway.stores.ledger.tables import metadata
from tests.fakes.ledgers import SECOND, claim, done, processes, rows
from tests.fakes.postgres_server import PostgresServer

NOW = 1_795_435_200 * SECOND
LEFT = "SELECT round((until_ms - extract(epoch FROM clock_timestamp()) * 1000) / 1000) FROM leases"
LAPSE = "UPDATE leases SET until_ms = 0 RETURNING owner"


@pytest.fixture
def database(postgres: str) -> Iterator[PostgresDatabase]:
    found = PostgresDatabase(postgres)
    yield found
    found.close()


@pytest.fixture
def owners() -> LeasedOwners:
    made = LeasedOwners()
    made.claim()
    return made


def looks(database: PostgresDatabase, owners: LeasedOwners, count: int = 2) -> list[str]:
    """Whom the last look finds gone."""
    return [database.read(owners.gone) for _ in range(count)][-1]


def test_a_lease_is_renewed_by_the_clock_and_not_by_calls(
    database: PostgresDatabase, owners: LeasedOwners, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    done(database, owners.keep)
    assert rows(postgres, LEFT) == [(module.LEASE,)]
    rows(postgres, LAPSE)
    done(database, owners.keep)
    assert rows(postgres, "SELECT until_ms FROM leases") == [(0,)]
    now += 10
    done(database, owners.keep)
    assert rows(postgres, LEFT) == [(module.LEASE,)], "so does one that was stopped, before it holds anything again"


def test_a_renewal_that_was_not_committed_is_none(
    database: PostgresDatabase, owners: LeasedOwners, postgres: str
) -> None:
    def keep_and_fail(tx: object) -> None:
        owners.keep(tx)  # type: ignore[arg-type]
        raise ValueError

    database.transact([keep_and_fail])
    done(database, owners.keep)
    assert rows(postgres, LEFT) == [(module.LEASE,)]


def test_an_owner_is_gone_when_two_looks_find_its_lease_lapsed_and_nothing_else_is(
    database: PostgresDatabase, owners: LeasedOwners, postgres: str
) -> None:
    dead, living = LeasedOwners(), LeasedOwners()
    for each in (dead, living):
        name = each.claim()
        done(database, each.keep)
        done(database, lambda tx, name=name: entries.hold(tx, claim(name, owner=name), NOW))
    rows(postgres, f"UPDATE leases SET until_ms = 0 WHERE owner = '{dead._own}' RETURNING owner")
    assert looks(database, owners, 1) == []
    assert looks(database, owners, 1) == [dead._own]
    rows(postgres, "UPDATE leases SET until_ms = 0 RETURNING owner")
    assert looks(database, owners, 1) == [dead._own], "as all are after an outage, until they renew theirs"
    database.close()
    done(database, living.keep)
    assert not done(database, lambda tx: owners.is_gone(tx, living._own))
    assert looks(database, owners) == [dead._own]
    done(database, lambda tx: owners.forget(tx, dead._own))
    assert looks(database, owners) == [dead._own], "who still holds something without a lease is no more"


def test_an_owner_that_releases_itself_leaves_nothing(
    database: PostgresDatabase, owners: LeasedOwners, postgres: str
) -> None:
    done(database, owners.keep)
    done(database, owners.release)
    assert rows(postgres, "SELECT * FROM leases") == []


def test_all_steps_together_make_the_tables_as_they_are_described(postgres: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(postgres, migrating=True))
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


def _prepare(url: str) -> None:
    PostgresDatabase(url).prepare()


def test_two_that_prepare_at_once_both_succeed(postgres_server: PostgresServer) -> None:
    postgres_server.run("CREATE DATABASE nothing_yet")
    url, context = postgres_server.url("nothing_yet"), processes()
    both = [context.Process(target=_prepare, args=(url,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert rows(url, "SELECT version_num FROM alembic_version") == [(migrate.HEAD,)]
    postgres_server.run("DROP DATABASE nothing_yet")
