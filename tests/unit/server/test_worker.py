"""What a worker does once, so that no request needs to."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from gateway.server.worker import settle


@pytest.fixture
def garbage() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.mark.usefixtures("garbage")
def test_settings_are_what_they_were_and_looked_up_once() -> None:
    before, cfg = Config(), Config()
    for each in (before, cfg):
        each.set("limit_request_fields", 7)
        each.set("workers", 3)
    settle(SimpleNamespace(cfg=cfg))
    names = set(cfg.settings)
    assert {name: getattr(cfg, name) for name in names} == {name: getattr(before, name) for name in names}
    assert {"limit_request_fields", "keepalive", "pre_request"} <= vars(cfg).keys()
    assert gc.get_freeze_count() > 0
