"""Every test that asks a provider holds for each way to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.providers import http
from tests.fakes.gemini_vendor import GeminiVendor
from tests.fakes.upstream import Upstream


@pytest.fixture(params=["direct", "requests"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(http.ADAPTERS, "direct", http.ADAPTERS[request.param])
    return str(request.param)


@pytest.fixture
def upstream(way: str, upstream: Upstream) -> Upstream:
    return upstream


@pytest.fixture
def vendor(way: str) -> Iterator[GeminiVendor]:
    """A Gemini that has no complaint in the end."""
    with GeminiVendor() as vendor:
        yield vendor
        assert vendor.complaints == []
