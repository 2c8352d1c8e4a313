"""What becomes of an error with which Anthropic's stream ends."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config.settings import Timeouts
from gateway.errors import ProviderFailed, ProviderRefused, UpstreamError
from gateway.providers.anthropic_stream import AnthropicStream
from gateway.providers.stream import Arriving

START = (
    b"event: message_start\n"
    b'data: {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [], "usage": {}}}\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def failed(kind: str) -> bytes:
    return b'event: error\ndata: {"type": "error",  "error": {"type": "%b", "message": "Sorry"}}\n\n' % kind.encode()


def opened(is_native: bool, *pieces: bytes) -> AnthropicStream:
    def arrivals(*_: Any) -> Iterator[bytes]:
        yield from pieces

    reply: Any = SimpleNamespace(arrivals=arrivals, finish=lambda _: None, drain=lambda: None)
    stream = AnthropicStream(Arriving("up", reply, Timeouts()), is_native)
    stream.open(float("inf"))
    return stream


@pytest.mark.parametrize("is_native", [True, False])
def test_an_error_later_is_handed_on_as_it_came_to_a_client_of_the_same_dialect(is_native: bool) -> None:
    stream, got = opened(is_native, START, PING + failed("overloaded_error") + PING), []
    with pytest.raises(UpstreamError) as caught:
        got.extend(stream.blocks())
    assert caught.value.detail == "overloaded_error"
    assert caught.value.last_event == (failed("overloaded_error") if is_native else b"")
    assert (b"".join(got) == START + PING) is is_native


@pytest.mark.parametrize(("is_native", "dialect"), [(True, "anthropic"), (False, None)])
def test_an_error_about_the_request_before_anything_else_is_a_refusal(is_native: bool, dialect: str | None) -> None:
    with pytest.raises(ProviderRefused) as caught:
        opened(is_native, failed("invalid_request_error"))
    assert (caught.value.status, caught.value.dialect, caught.value.message) == (400, dialect, "Sorry")
    with pytest.raises(ProviderFailed):
        opened(is_native, failed("overloaded_error"))
