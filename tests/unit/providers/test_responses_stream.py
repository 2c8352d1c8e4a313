"""A vendor's stream of a response is handed on as it came, up to its last event, and read on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.config.settings import Timeouts
from gateway.errors import GatewayError, ProviderFailed, ProviderRefused, UpstreamError
from gateway.providers.responses_stream import ResponsesStream
from gateway.providers.stream import Arriving
from tests.fakes import responses_answers as fake

BODY = {"model": "gpt-4o", "input": 'Say "error", response.completed and response.failed'}
FAILED = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "Sorry"}}}
ERROR = {"type": "error", "code": "server_error", "message": "Sorry", "param": None, "sequence_number": 2}
BARE = {"error": {"code": "server_error", "message": "Sorry"}}


def written(event: Any) -> bytes:
    text = event if isinstance(event, str) else json.dumps(event)
    return f"event: {json.loads(text).get('type')}\ndata: {text}\n\n".encode()


def whole() -> list[bytes]:
    return [written(event) for event in fake.events(BODY, 1)]


@pytest.fixture
def opened() -> Callable[..., ResponsesStream]:
    def open_stream(*pieces: bytes, most: float = 1e9) -> ResponsesStream:
        def arrivals(*_: Any) -> Iterator[bytes]:
            yield from pieces

        reply: Any = SimpleNamespace(arrivals=arrivals, finish=lambda _: None, drain=lambda: None)
        stream = ResponsesStream(Arriving("up", reply, Timeouts(), most))
        stream.open(float("inf"))
        return stream

    return open_stream


@pytest.mark.parametrize("size", [1, 37, 1_000_000])
def test_events_come_as_they_were_sent_and_nothing_behind_the_last(
    opened: Callable[..., ResponsesStream], size: int
) -> None:
    sent = b"".join(whole())
    data = sent + b"data: [DONE]\n\n"
    stream = opened(*(data[at : at + size] for at in range(0, len(data), size)))
    assert b"".join(stream.blocks()) == sent
    assert json.loads(stream.completion().body) == fake.answer(BODY, 1)
    assert (stream.dialect, stream.completion().dialect) == ("responses", "responses")


def test_an_answer_that_was_cut_short_is_whole_too(opened: Callable[..., ResponsesStream]) -> None:
    sent = [written(event) for event in fake.events({**BODY, "max_output_tokens": 1}, 1)]
    stream = opened(*sent)
    assert b"".join(stream.blocks()) == b"".join(sent)
    assert stream.completion().finish_reasons == ("length",)


@pytest.mark.parametrize("error", [FAILED, ERROR, BARE], ids=str)
def test_an_error_before_anything_else_is_the_providers_own(opened: Callable[..., ResponsesStream], error: Any) -> None:
    with pytest.raises(ProviderFailed) as caught:
        opened(written(error))
    assert caught.value.detail == "under a success, server_error"


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ({"code": "context_length_exceeded"}, ProviderRefused),
        ({"code": "unknown_parameter", "type": "invalid_request_error"}, ProviderRefused),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, ProviderFailed),
        ({"code": "rate_limit_exceeded"}, ProviderFailed),
    ],
)
def test_an_error_about_the_request_before_anything_else_is_a_refusal(
    opened: Callable[..., ResponsesStream], says: dict[str, str], kind: type[GatewayError]
) -> None:
    said = {"message": "Sorry", **says}
    with pytest.raises(kind) as caught:
        opened(written({"type": "response.failed", "response": {"error": said}}))
    if isinstance(caught.value, ProviderRefused):
        told = json.loads(caught.value.body or b"")
        assert (caught.value.status, caught.value.dialect, told) == (400, "responses", {"error": said})


@pytest.mark.parametrize("error", [FAILED, ERROR, BARE], ids=str)
def test_an_error_later_ends_the_stream_and_what_came_before_is_handed_on(
    opened: Callable[..., ResponsesStream], error: Any
) -> None:
    sent = whole()[:6]
    stream, got = opened(*sent, written(error)), []
    with pytest.raises(UpstreamError) as caught:
        got.extend(stream.blocks())
    assert (got, caught.value.detail) == ([*sent, b""], "server_error")
    assert caught.value.last_event == written(error)
    assert stream.completion().text


@pytest.mark.parametrize("event", [b"data: 1\n\n", b"data: {}\n\n", b"data: x\n\n"])
def test_what_is_no_event_ends_the_stream(opened: Callable[..., ResponsesStream], event: bytes) -> None:
    stream = opened(whole()[0], event)
    with pytest.raises(UpstreamError, match="broke off"):
        list(stream.blocks())


def test_an_answer_beyond_its_cap_is_refused(opened: Callable[..., ResponsesStream]) -> None:
    with pytest.raises(UpstreamError):
        list(opened(*whole(), most=5).blocks())
