"""What the tests of the API share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api import failing
from tests.api.books import FILE, Books, used
from tests.fakes.upstream import Upstream, answers


@pytest.fixture
def books(make_app: Callable[..., Flask], upstream: Upstream, ledger_file: Path) -> Books:
    upstream.script = answers(used(8, 3))
    app = make_app(FILE.format(url=upstream.base_url), MODEL_NAME="m", CACHE_TTL="0")
    return Books(app.test_client(), upstream, ledger_file)


@pytest.fixture
def other() -> Iterator[Upstream]:
    """The upstream of fallbacks."""
    with Upstream() as server:
        yield server


@pytest.fixture
def app(make_app: Callable[..., Flask], upstream: Upstream, other: Upstream) -> Flask:
    return make_app(failing.FILE.format(one=upstream.base_url, two=other.base_url), MODEL_NAME="")


@pytest.fixture
def caller(app: Flask) -> FlaskClient:
    """A client of a gateway whose targets fail as its upstreams' scripts say."""
    return app.test_client()
