"""What a worker does once, so that no request needs to."""

from __future__ import annotations

from types import SimpleNamespace

from gunicorn.config import Config

from gateway.server.worker import settle


def test_settings_are_what_they_were_and_looked_up_once() -> None:
    before, cfg = Config(), Config()
    for each in (before, cfg):
        each.set("limit_request_fields", 7)
        each.set("workers", 3)
    settle(SimpleNamespace(cfg=cfg))
    names = set(cfg.settings)
    assert {name: getattr(cfg, name) for name in names} == {name: getattr(before, name) for name in names}
    assert {"limit_request_fields", "keepalive", "pre_request"} <= vars(cfg).keys()
