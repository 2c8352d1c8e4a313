"""What the tests of the API share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api import dialects, failing
from tests.api.books import FILE, Books, used
from tests.conftest import KEY
from tests.fakes import anthropic_vendor, gemini_vendor, openai_vendor
from tests.fakes.anthropic_vendor import AnthropicVendor
from tests.fakes.gemini_vendor import GeminiVendor
from tests.fakes.openai_vendor import OpenAIVendor
from tests.fakes.upstream import Upstream, answers

_ONCE = {"connection": "close"}  # a kept connection would be left open with the application that is dropped


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


@pytest.fixture
def claude() -> Iterator[AnthropicVendor]:
    with AnthropicVendor(secret=KEY) as vendor:
        vendor.now.headers |= _ONCE
        yield vendor


@pytest.fixture
def gemini() -> Iterator[GeminiVendor]:
    with GeminiVendor(secret=KEY) as vendor:
        vendor.now.headers |= _ONCE
        yield vendor


@pytest.fixture
def openai() -> Iterator[OpenAIVendor]:
    with OpenAIVendor(secret=KEY) as vendor:
        vendor.now.headers |= _ONCE
        yield vendor


@pytest.fixture
def between(
    make_app: Callable[..., Flask], claude: AnthropicVendor, gemini: GeminiVendor, openai: OpenAIVendor
) -> Iterator[FlaskClient]:
    """A client of a gateway before the fakes of all vendors, none of which has a complaint in the end."""
    file = dialects.FILE.format(
        claude=claude.base_url,
        claude_key=anthropic_vendor.PROVIDER_KEY,
        gemini=gemini.base_url,
        gemini_key=gemini_vendor.PROVIDER_KEY,
        openai=openai.base_url,
        openai_key=openai_vendor.PROVIDER_KEY,
    )
    yield make_app(file, MODEL_NAME="gpt", CACHE_TTL="60").test_client()
    assert claude.complaints + gemini.complaints + openai.complaints == []
