"""What every kind of test may use: settings without an environment, an application, an upstream that misbehaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import LEDGER, create_app
from gateway.config import Settings, load
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.upstream import Upstream

KEY = "test-key-0123456789"  # long enough not to be warned of


@pytest.fixture(scope="session")
def prepared_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty ledger's file, to be copied: making its tables takes longer than most tests."""
    directory = tmp_path_factory.mktemp("ledger")
    SqliteDatabase(directory).prepare()
    return next(directory.glob("*.sqlite"))


@pytest.fixture
def ledger_file(tmp_path: Path, prepared_ledger: Path) -> Path:
    """The ledger of this test's applications."""
    directory = tmp_path / "data"
    directory.mkdir(exist_ok=True)
    return Path(shutil.copy(prepared_ledger, directory))


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
        app.extensions[LEDGER].close()


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server
