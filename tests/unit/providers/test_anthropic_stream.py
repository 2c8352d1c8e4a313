"""What becomes of an error with which Anthropic's stream ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gateway.config.settings import Timeouts
from gateway.errors import ProviderFailed, ProviderRefused, UpstreamError
from gateway.model import Usage
from gateway.providers.anthropic_stream import AnthropicStream
from gateway.providers.stream import Arriving
from gateway.wire.anthropic_answers import read_usage

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


def said(**event: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize(
    "events",
    [
        [said(type="message_stop")],
        [said(type="content_block_start", index=0, content_block={}), said(type="message_stop")],
        [said(type="content_block_delta", index=0, delta={"type": "text_delta", "text": ["x"]})],
        [
            said(type="message_delta", delta={"stop_reason": "end_turn", "content": 5}, usage={"output_tokens": "1"}),
            said(type="message_stop"),
        ],
        [said(type="message_delta", delta=5)],
    ],
)
def test_whatever_a_vendor_says_is_settled_with_what_came(is_native: bool, events: list[bytes]) -> None:
    text = {"type": "text_delta", "text": "Hello"}
    begun = [START, said(type="content_block_start", index=0, content_block={"type": "text", "text": ""})]
    stream = opened(is_native, *begun, said(type="content_block_delta", index=0, delta=text), *events)
    with contextlib.suppress(UpstreamError):
        for _ in stream.blocks():
            pass
    found = stream.completion()
    assert len(found.generated) + found.not_kept >= len("Hello")
    assert found.usage is None or found.usage.completion_tokens


def test_what_shortening_a_conversation_took_is_counted_too() -> None:
    usage = {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 5}
    shortening = {
        "type": "compaction",
        "input_tokens": 180_000,
        "output_tokens": 3_500,
        "cache_creation_input_tokens": 7,
    }
    known = {**usage, "iterations": [{"type": "message", **usage}, shortening]}
    assert read_usage(known) == Usage(180_112, 3_510, cached_tokens=5, cache_write_tokens=7)
    assert read_usage({**known, "iterations": [{**shortening, "input_tokens": -1}]}) is None
