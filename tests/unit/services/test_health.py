"""What readiness says, from the latest results."""

from __future__ import annotations

import pytest

from gateway import draining
from gateway.model import State
from gateway.services.health import Health


def test_one_thing_that_does_not_work_makes_the_service_degraded_until_it_works() -> None:
    fares: dict[str, State] = {"a": "ok"}
    health = Health({"cache": "ok"}, lambda: fares)
    assert health.report()[0] == "ready"
    health.cache(False)
    assert health.report() == ("degraded", {"cache": "down", "provider:a": "ok"})
    health.cache(True)
    fares["a"] = "down"
    assert health.report()[0] == "degraded"
    fares["a"] = "ok"
    assert health.report()[0] == "ready"


def test_a_service_without_its_ledger_is_unavailable() -> None:
    health = Health({"ledger": "ok"})
    health.ledger(works=False)
    assert health.report() == ("unavailable", {"ledger": "down"})
    health.ledger(works=True)
    assert health.report()[0] == "ready"


def test_a_service_that_is_about_to_stop_says_so_whatever_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_mark", bytearray(1))
    health = Health({})
    assert health.report()[0] == "ready"
    draining.begin()
    assert health.report()[0] == "draining"
