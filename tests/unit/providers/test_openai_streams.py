"""A vendor's stream: handed on as it comes, ended only where it ended, asked for as the client asked."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ProviderRefused, UpstreamError
from gateway.model import Usage
from gateway.providers import vendor
from tests.fakes.upstream import Upstream, answers, completion, sending
from tests.unit.providers.streams import (
    ASKED,
    DONE,
    END,
    HEAD,
    HELLO,
    REQUEST,
    USAGE,
    WHOLE,
    chunked,
    event,
    stream,
)


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


@pytest.mark.parametrize("payload", [b"{bad", b'"text"', b"[]"])
def test_an_event_that_is_no_object_ends_the_stream_and_is_not_handed_on(payload: bytes, upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(WHOLE), chunked(b"data: " + payload + b"\n\n", DONE) + END], pause=0.1)
    found = stream(upstream)
    blocks = found.blocks()
    assert next(blocks) == WHOLE
    with pytest.raises(UpstreamError, match="broke off"):
        next(blocks)
    assert found.completion().usage == Usage(3, 2)


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


def test_a_refusal_may_not_be_as_large_as_a_stream(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "_LARGEST_REFUSAL", 100_000)
    upstream.script = sending([b"HTTP/1.1 400 Bad\r\n\r\n", *[b"x" * 10_000] * 20], stay=False)
    with pytest.raises(ProviderRefused) as caught:
        stream(upstream)
    assert caught.value.body is None


def test_a_refusal_comes_back_byte_for_byte(upstream: Upstream) -> None:
    upstream.script = answers(b'{"error":  {"message": "no"}}', 400)
    with pytest.raises(ProviderRefused) as caught:
        stream(upstream)
    assert caught.value.body == b'{"error":  {"message": "no"}}'


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
