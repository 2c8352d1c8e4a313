"""The steps that bring a ledger up to date lead to exactly the tables that the code works with."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from gateway.accounting import reports
from gateway.stores import StoreError
from gateway.stores.ledger import migrate
from gateway.stores.ledger.sqlite import SqliteDatabase
from gateway.stores.ledger.tables import metadata
from tests.fakes.ledgers import FILE, done, ledger_in, limit, processes, rows

STEPS = Path(migrate.__file__).parent / "migrations"


def version(directory: Path, number: str) -> None:
    with closing(sqlite3.connect(directory / FILE)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (number,))
        connection.commit()


def test_the_last_step_is_the_one_that_the_code_works_with() -> None:
    config = Config()
    config.set_main_option("script_location", str(STEPS))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.HEAD]


def test_all_steps_together_make_the_tables_as_they_are_described(tmp_path: Path) -> None:
    ledger_in(tmp_path)
    engine = create_engine(f"sqlite:///{tmp_path / FILE}")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
    engine.dispose()


def test_what_only_sqlite_knows_of_the_tables_is_as_described_too(tmp_path: Path) -> None:
    ledger_in(tmp_path)
    described = create_engine(f"sqlite:///{tmp_path / 'described'}")
    metadata.create_all(described)
    described.dispose()
    with closing(sqlite3.connect(tmp_path / "described")) as connection:
        expected = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    found = dict(rows(tmp_path, "SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for special in ("AUTOINCREMENT", "WITHOUT ROWID"):
        assert {name for name, sql in expected if special in sql} == {
            name for name, sql in found.items() if special in sql
        }


def test_an_id_of_a_limit_or_a_balance_is_never_used_again(tmp_path: Path) -> None:
    database, found = ledger_in(tmp_path), list[tuple[int, int]]()
    for _ in range(2):
        limit(database, "tenant:t", "usd/day", "1")
        found += rows(tmp_path, "SELECT limits.id, balances.id FROM limits JOIN balances ON limits.id = limit_id")
        done(database, lambda tx: reports.remove_limit(tx, "tenant:t", "usd/day"))
    database.close()
    assert found == [(1, 1), (2, 2)], "holds in flight name them"


def _prepare(directory: Path, ready: object, failures: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    try:
        SqliteDatabase(directory).prepare()
    except StoreError as error:
        failures.put(str(error))  # type: ignore[attr-defined]


def test_two_that_prepare_at_once_both_succeed(tmp_path: Path) -> None:
    context = processes()
    ready, failures = context.Barrier(2), context.Queue()
    both = [context.Process(target=_prepare, args=(tmp_path, ready, failures)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert failures.empty()
    assert rows(tmp_path, "SELECT version_num FROM alembic_version") == [(migrate.HEAD,)]


def test_preparing_again_keeps_what_is_there(tmp_path: Path) -> None:
    database = ledger_in(tmp_path)
    done(database, lambda tx: tx.run("changed"))
    database.prepare()
    database.close()
    assert rows(tmp_path, "SELECT version FROM versions") == [(1,)]


def test_a_ledger_is_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "data"
    SqliteDatabase(directory).prepare()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in directory.iterdir())
    assert rows(directory, "PRAGMA journal_mode") == [("wal",)]


def test_a_ledger_of_a_newer_version_is_left_alone_until_it_is_of_ours(tmp_path: Path) -> None:
    database = ledger_in(tmp_path)
    version(tmp_path, "9999")
    with pytest.raises(StoreError, match="9999"):
        database.prepare()
    with pytest.raises(StoreError, match="version"):
        done(database, lambda tx: tx.run("changed"))
    assert rows(tmp_path, "SELECT * FROM versions") == []
    version(tmp_path, migrate.HEAD)
    done(database, lambda tx: tx.run("changed"))
    database.close()


@pytest.mark.parametrize("name", ["with space", "100%41", "a#b", "what?", "größe"])
def test_a_data_directory_may_have_any_name(name: str, tmp_path: Path) -> None:
    directory = tmp_path / name
    database = SqliteDatabase(directory)
    database.prepare()
    done(database, lambda tx: tx.run("changed"))
    assert database.read(lambda tx: tx.run("version")) == [(1,)]
    database.close()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
