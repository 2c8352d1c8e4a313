"""What the tests of the API share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.api.books import FILE, Books, used
from tests.fakes.upstream import Upstream, answers


@pytest.fixture
def books(make_app: Callable[..., Flask], upstream: Upstream, ledger_file: Path) -> Books:
    upstream.script = answers(used(8, 3))
    app = make_app(FILE.format(url=upstream.base_url), MODEL_NAME="m", CACHE_TTL="0")
    return Books(app.test_client(), upstream, ledger_file)
