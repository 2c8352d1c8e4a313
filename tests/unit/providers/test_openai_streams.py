"""A vendor's stream: handed on as it comes, ended only where it ended, settled with what came."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.settings import ProviderSettings, Secret, Timeouts
from gateway.errors import ClientLeft, ProviderRefused, UpstreamError, UpstreamTimeout
from gateway.model import ModelRequest, Usage
from gateway.providers import openai
from gateway.providers.base import Call
from gateway.providers.openai import OpenAIProvider, OpenAIStream
from tests.fakes.upstream import Received, Script, Upstream, answers, completion

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: up-1\r\ntransfer-encoding: chunked\r\n\r\n"
ASKED = {"messages": [{"role": "user", "content": "Hi"}]}
REQUEST = ModelRequest("chat", None, ASKED, stream=True)
CALL = Call("call-1", 1)
DONE, END = b"data: [DONE]\n\n", b"0\r\n\r\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def event(delta: Any = None, **rest: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": None}] if delta is not None else []
    return b"data: " + json.dumps({"choices": choices, **rest}, ensure_ascii=False).encode() + b"\n\n"


HELLO = [event({"role": "assistant", "content": "Hé"}), event({"content": "llo"})]
WHOLE = b"".join(HELLO) + event(usage=USAGE)


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def sending(parts: Iterable[bytes], pause: float = 0, stay: bool = True) -> Script:
    def script(connection: socket.socket, request: Received) -> bool:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        return stay

    return script


def provider(upstream: Upstream, kind: str = "openai", **timeouts: float) -> OpenAIProvider:
    return OpenAIProvider(
        ProviderSettings("up", kind, upstream.base_url, Secret("sk-secret-1"), timeouts=Timeouts(**timeouts))
    )


def stream(upstream: Upstream, request: ModelRequest = REQUEST, **kind: Any) -> OpenAIStream:
    return provider(upstream, **kind).stream(request, "gpt-4o-mini", CALL)


def test_events_are_handed_on_as_they_come_and_the_first_at_once(upstream: Upstream) -> None:
    upstream.script = sending([HEAD, *map(chunked, HELLO), chunked(event(usage=USAGE), DONE) + END], pause=0.3)
    started = time.monotonic()
    found = stream(upstream)
    assert time.monotonic() - started < 0.55
    assert list(found.blocks()) == [*HELLO, event(usage=USAGE)]
    completion = found.completion()
    assert (completion.text, completion.usage, completion.upstream_request_id) == ("Héllo", Usage(3, 2), "up-1")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 500), max_size=6))
def test_any_cutting_of_the_upstreams_bytes_gives_the_same_events(cuts: list[int], upstream: Upstream) -> None:
    raw = HEAD + chunked(WHOLE, DONE) + END
    places = [0, *sorted(len(HEAD) + cut % (len(raw) - len(HEAD)) for cut in cuts), len(raw)]
    parts = [raw[start:end] for start, end in itertools.pairwise(places)]
    upstream.script = sending(parts, pause=0.001)
    assert b"".join(stream(upstream).blocks()) == WHOLE


@pytest.mark.parametrize("cut", range(2, len(chunked(WHOLE, DONE)) - 2, 23))
def test_a_stream_cut_anywhere_before_its_end_is_an_upstream_error(cut: int, upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(WHOLE, DONE)[:cut]], stay=False)
    with pytest.raises(UpstreamError):
        list(stream(upstream).blocks())


def test_a_stream_that_ends_without_its_mark_is_an_upstream_error(upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(WHOLE) + END])
    found = stream(upstream)
    blocks = found.blocks()
    assert next(blocks) == WHOLE
    with pytest.raises(UpstreamError, match="broke off"):
        next(blocks)
    assert found.completion().text == "Héllo"


@pytest.mark.parametrize(
    "mark",
    [b"data:[DONE]\n\n", b"data: [DONE]\r\n\r\n", b"event: done\ndata: [DONE]\n\n", b"data: [DONE]\n\n: bye\n\n"],
)
def test_the_end_is_known_in_each_of_its_spellings(mark: bytes, upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(WHOLE, mark) + END])
    assert b"".join(stream(upstream).blocks()) == WHOLE


def test_a_text_that_speaks_of_done_errors_and_usage_is_only_text(upstream: Upstream) -> None:
    text = event({"content": '\n\ndata: [DONE]\n\n {"error": {"usage": 1}}'})
    upstream.script = sending([HEAD + chunked(text, WHOLE, DONE) + END])
    assert b"".join(stream(upstream).blocks()) == text + WHOLE


def test_an_error_in_the_stream_ends_it_and_its_text_is_not_handed_on(upstream: Upstream) -> None:
    error = b'data: {"error": {"message": "my secret", "code": "overloaded"}}\n\n'
    upstream.script = sending([HEAD + chunked(*HELLO, error, DONE) + END])
    blocks = stream(upstream).blocks()
    assert next(blocks) == b"".join(HELLO)
    with pytest.raises(UpstreamError) as caught:
        next(blocks)
    assert (caught.value.detail, "secret" in caught.value.message) == ("overloaded", False)


@pytest.mark.parametrize(
    "error",
    [b'event: error\ndata: {"message": "my secret"}\n\n', b'error: {"code": 500, "message": "my secret"}\n\n',
     b'data: {"object": "error", "message": "my secret", "code": 400}\n\n'],
    ids=["named", "llama.cpp", "vLLM"],
)  # fmt: skip
def test_an_error_is_known_in_each_of_its_forms(error: bytes, upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(*HELLO, error, DONE) + END])
    blocks = stream(upstream).blocks()
    assert next(blocks) == b"".join(HELLO)
    with pytest.raises(UpstreamError):
        next(blocks)


def test_a_whole_answer_to_a_request_for_a_stream_is_streamed(upstream: Upstream) -> None:
    upstream.script = answers(completion("Hello"))
    found = stream(upstream)
    assert b'"content":"Hello"' in b"".join(found.blocks())
    assert found.completion().usage == Usage(20, 100)


def test_a_provider_that_does_not_read_the_request_meets_the_deadline_and_the_clients_leaving(
    upstream: Upstream,
) -> None:
    upstream.pause_before_reading = 6
    body = json.dumps({**ASKED, "model": "m", "stream": True, "x": "x" * 20_000_000}).encode()
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        stream(upstream, replace(REQUEST, body=body), first_byte=0.5)
    here, there = socket.socketpair()
    threading.Timer(0.3, there.close).start()
    with here, pytest.raises(ClientLeft):
        provider(upstream).stream(replace(REQUEST, body=body), "m", replace(CALL, client=here))
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "raw",
    [chunked(b'data: {"error": {"message": "x"}}\n\n'), chunked(DONE), chunked(b": hello\n\n"), chunked(b"data: <html>\n\n"),
     chunked(b"data: []\n\n"), chunked(b'{"choices": []}'), b"", chunked(b"data: " + b"x" * 5_000_000)],
    ids=["an error", "nothing", "a comment", "no JSON", "no object", "no event", "no byte", "an endless event"],
)  # fmt: skip
def test_a_stream_that_begins_with_nonsense_fails_before_anything_is_handed_on(raw: bytes, upstream: Upstream) -> None:
    upstream.script = sending([HEAD + raw + END])
    with pytest.raises(UpstreamError):
        stream(upstream)


def test_a_refusal_comes_back_byte_for_byte(upstream: Upstream) -> None:
    upstream.script = answers(b'{"error":  {"message": "no"}}', 400)
    with pytest.raises(ProviderRefused) as caught:
        stream(upstream)
    assert caught.value.body == b'{"error":  {"message": "no"}}'


@pytest.mark.parametrize("cut", [lambda: b"", lambda: chunked(b"data: {}\n\n")], ids=["first byte", "idle"])
def test_silence_has_a_deadline_before_and_after_the_first_byte(cut: Any, upstream: Upstream) -> None:
    upstream.script = sending([HEAD + cut(), b""], pause=2)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        list(stream(upstream, first_byte=0.4, idle=0.4).blocks())
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("whole", [b"", HEAD, HEAD + chunked(HELLO[0])], ids=["headers", "first event", "later event"])
def test_bytes_that_drip_and_make_no_event_are_as_good_as_silence(whole: bytes, upstream: Upstream) -> None:
    rest = (HEAD + chunked(*HELLO))[len(whole) :] if len(whole) <= len(HEAD) else chunked(HELLO[1])
    upstream.script = sending([whole, *(rest[place : place + 1] for place in range(len(rest)))], pause=0.05)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        list(stream(upstream, first_byte=0.5, idle=0.5).blocks())
    assert time.monotonic() - started < 1.5


def test_a_client_that_leaves_a_dripping_provider_is_noticed_within_a_second(upstream: Upstream) -> None:
    upstream.script = sending([HEAD, *[b"1\r\nx\r\n"] * 100], pause=0.05, stay=False)
    here, there = socket.socketpair()
    threading.Timer(0.3, there.close).start()
    started = time.monotonic()
    with here, pytest.raises(ClientLeft):
        provider(upstream).stream(REQUEST, "m", replace(CALL, client=here))
    assert time.monotonic() - started < 1.3


def test_silence_is_told_so_that_the_client_can_be_given_a_sign(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "HEARTBEAT", 0.2)
    upstream.script = sending([HEAD + chunked(HELLO[0]), chunked(HELLO[1], DONE) + END], pause=0.7)
    assert list(stream(upstream).blocks()) == [HELLO[0], b"", b"", b"", HELLO[1]]


def test_the_connection_is_used_again_after_a_whole_stream(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai, "_LAST_BYTES", 1)
    upstream.script = sending([HEAD + chunked(WHOLE, DONE), END])
    vendor = provider(upstream)
    for _ in range(3):
        assert b"".join(vendor.stream(REQUEST, "m", CALL).blocks()) == WHOLE
    assert upstream.connections == 1


def test_the_connection_is_closed_where_the_client_stops(upstream: Upstream) -> None:
    ended = threading.Event()

    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(HEAD + chunked(*HELLO))
        connection.settimeout(5)
        if connection.recv(1) == b"":
            ended.set()
        return False

    upstream.script = script
    found = stream(upstream)
    next(found.blocks())
    found.leave()
    assert ended.wait(1)
    assert found.completion().text == "Héllo"


def test_where_the_operator_wants_it_the_rest_is_read_after_the_client_has_stopped(upstream: Upstream) -> None:
    upstream.script = sending(
        [HEAD + chunked(HELLO[0]), chunked(HELLO[1]), chunked(event(usage=USAGE), DONE) + END], 0.2
    )
    found = stream(upstream, drain=5)
    next(found.blocks())
    found.leave()
    assert (found.completion().text, found.completion().usage) == ("Héllo", Usage(3, 2))


def test_and_no_longer_than_it_may_take(upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(HELLO[0]), b""], pause=3)
    found = stream(upstream, drain=0.3)
    next(found.blocks())
    started = time.monotonic()
    found.leave()
    assert time.monotonic() - started < 1
    assert found.completion().text == "Hé"


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("first", [b"", HEAD, HEAD + chunked(HELLO[0])], ids=["no byte", "headers", "an event"])
def test_a_client_that_leaves_is_noticed_while_the_provider_is_silent(
    first: bytes, streamed: bool, upstream: Upstream
) -> None:
    upstream.script = sending([first, b""], pause=5, stay=False)
    here, there = socket.socketpair()
    threading.Timer(0.5, there.close).start()
    send = provider(upstream).stream if streamed else provider(upstream).complete
    started = time.monotonic()
    with here, pytest.raises(ClientLeft):
        found = send(replace(REQUEST, stream=streamed), "m", replace(CALL, client=here))
        list(found.blocks())  # type: ignore[union-attr]
    assert 0.4 < time.monotonic() - started < 1.5


def test_a_client_that_has_sent_its_next_request_is_still_there(upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(HELLO[0]), chunked(HELLO[1], DONE) + END], pause=0.8)
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"GET / HTTP/1.1\r\n")
        found = provider(upstream).stream(REQUEST, "m", replace(CALL, client=here))
        assert b"".join(found.blocks()) == b"".join(HELLO)


@pytest.mark.parametrize(
    ("kind", "options", "sent"),
    [
        ("openai", {}, {"include_usage": True}),
        ("openai", {"include_usage": False, "include_obfuscation": False}, {"include_usage": True, "include_obfuscation": False}),
        ("mistral", {}, None),
        ("nvidia", {}, None),
        ("mistral", {"include_usage": True}, {"include_usage": True}),
    ],
)  # fmt: skip
def test_the_usage_is_asked_for_where_the_vendor_takes_the_option(
    kind: str, options: dict[str, Any], sent: Any, upstream: Upstream
) -> None:
    upstream.script = sending([HEAD + chunked(WHOLE, DONE) + END])
    document = {**ASKED, "model": "fast", "stream": True, **({"stream_options": options} if options else {})}
    body = json.dumps(document).encode()
    stream(upstream, replace(REQUEST, body=body, stream_options=options), kind=kind).leave()
    assert upstream.received[0].json.get("stream_options") == sent


def test_what_came_in_the_vendors_own_dialect_leaves_as_it_came(upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(WHOLE, DONE) + END])
    body = b'{"stream" : true, "temperature": 1.0,\n "messages": [{"role":"user","content":"\\u00e9"}], "model": "fast", "x":1e2}'
    stream(upstream, replace(REQUEST, body=body)).leave()
    expected = body.replace(b'"fast"', b'"gpt-4o-mini"').replace(
        b"1e2}", b'1e2,"stream_options":{"include_usage":true}}'
    )
    assert upstream.received[0].body == expected
    assert upstream.received[0].headers["accept"] == "text/event-stream"
