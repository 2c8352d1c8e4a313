"""What every kind of test may use: settings without an environment, an application, an upstream that misbehaves."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as properties

from gateway.app import COUNTERS, DIRECTORY, LEDGER, create_app
from gateway.config import Settings, load
from gateway.stores.ledger.postgresql import PostgresDatabase
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.postgres_server import PostgresServer, open_server
from tests.fakes.upstream import Upstream
from tests.faults.reporting import figures, pytest_configure, pytest_runtest_makereport, pytest_sessionfinish

__all__ = ["figures", "pytest_configure", "pytest_runtest_makereport", "pytest_sessionfinish"]

properties.register_profile("untimed", deadline=None)  # how long an example takes says how busy a machine is
properties.load_profile("untimed")

EMPTY = f"empty_{uuid.uuid4().hex}"
KEY = "test-key-0123456789"  # long enough not to be warned of


@cache
def _empty_ledger() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        SqliteDatabase(Path(directory)).prepare()
        return Path(directory, "ledger.sqlite").read_bytes()


def put_ledger(data_dir: Path) -> Path:
    """Put an empty ledger into `data_dir`: making its tables takes longer than most tests."""
    data_dir.mkdir(exist_ok=True)
    file = data_dir / "ledger.sqlite"
    file.write_bytes(_empty_ledger())
    return file


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    """The ledger of this test's applications."""
    return put_ledger(tmp_path / "data")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server, with an empty ledger that others are copied from."""
    with open_server() as server:
        server.run(f"CREATE DATABASE {EMPTY}")
        PostgresDatabase(server.url(EMPTY)).prepare()
        yield server
        server.run(f"DROP DATABASE {EMPTY} WITH (FORCE)")


@contextmanager
def empty_ledger(server: PostgresServer) -> Iterator[str]:
    """The address of an empty ledger, which is gone when the block ends."""
    name = f"ledger_{uuid.uuid4().hex}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {EMPTY}")
    yield server.url(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of an empty ledger in PostgreSQL."""
    with empty_ledger(postgres_server) as url:
        yield url


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings from variables and the text of a gateway.yaml, as the service would read them; no real environment."""

    def make(yaml: str | None = None, dotenv: str | None = None, **variables: str) -> Settings:
        if yaml is not None:
            (tmp_path / "gateway.yaml").write_text(yaml, encoding="utf-8")
        if dotenv is not None:
            (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
        return load({"API_KEY": KEY, "MODEL_NAME": "offline/echo", **variables}, tmp_path)

    return make


@pytest.fixture
def make_app(make_settings: Callable[..., Settings], ledger_file: Path) -> Iterator[Callable[..., Flask]]:
    made: list[Flask] = []

    def make(yaml: str | None = None, **variables: str) -> Flask:
        app = create_app(make_settings(yaml, **variables))
        app.testing = False  # errors reach the client as they do in production
        made.append(app)
        return app

    yield make
    for app in made:
        app.extensions[DIRECTORY].close()
        app.extensions[COUNTERS].close()
        app.extensions[LEDGER].close()


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server
