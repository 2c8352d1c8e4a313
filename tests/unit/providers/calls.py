"""Calls through the transport, and upstreams that take their time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from gateway.config.settings import ProviderSettings
from gateway.errors import GatewayError
from gateway.providers.connection import Deadlines
from gateway.providers.http import Transport

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


PATH = "/chat/completions"


def transport(base_url: str, **settings: object) -> Transport:
    return Transport(ProviderSettings("up", "openai", base_url, **settings), PATH)  # type: ignore[arg-type]


def within(total: float = 5, **others: float) -> Deadlines:
    first_by = time.monotonic() + others.pop("first_byte") if "first_byte" in others else None
    return Deadlines(others.pop("connect", 2), time.monotonic() + total, first_by, **others)


def failure_after(call: Callable[[], object]) -> tuple[GatewayError, float]:
    started = time.monotonic()
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value, time.monotonic() - started
