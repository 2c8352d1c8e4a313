"""Every test of a provider holds for each way to it."""

from __future__ import annotations

import pytest

from gateway.providers import http


@pytest.fixture(autouse=True, params=["direct", "requests"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(http.ADAPTERS, "direct", http.ADAPTERS[request.param])
    return str(request.param)
