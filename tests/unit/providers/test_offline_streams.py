"""The built-in provider's streams: word by word, in time, and broken where one asks for that."""

from __future__ import annotations

import socket
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ClientLeft, UpstreamError, UpstreamTimeout
from gateway.model import ModelRequest
from gateway.wire import sse
from tests.unit.providers.offline_calls import Json, asking, call, complete, provider, saying, stream

FUNCTION = {"type": "function", "function": {"name": "look", "parameters": {"properties": {"at": {"type": "string"}}}}}


def events(block: bytes) -> list[Json]:
    return [orjson.loads(payload) for payload in sse.payloads(block)]


def without_time(body: bytes) -> Any:
    return {**orjson.loads(body), "created": 0}


words = st.text(st.characters(codec="utf-8"), max_size=80)
shared: dict[str, st.SearchStrategy[Any]] = {
    "n": st.integers(1, 3),
    "max_tokens": st.integers(1, 9),
    "stop": st.sampled_from(["e", ["x", " "], [""]]),
    "logprobs": st.sampled_from([True, False]),
}
chats = st.builds(
    lambda said, asked: saying(said, **asked),
    words | st.just("call look"),
    st.fixed_dictionaries(
        {},
        optional={
            **shared,
            "tools": st.just([FUNCTION]),
            "functions": st.just([FUNCTION["function"]]),
            "response_format": st.just({"type": "json_object"}),
        },
    ),
)
completions = st.builds(
    lambda asked: asking("completions", asked),
    st.fixed_dictionaries(
        {"prompt": words | st.lists(words, min_size=1, max_size=3)},
        optional={**shared, "echo": st.booleans(), "logprobs": st.integers(0, 5)},
    ),
)


@given(chats | completions, st.sampled_from(["echo", "echo?tokens=7"]))
def test_a_stream_says_in_all_what_the_whole_answer_says(request: ModelRequest, model: str) -> None:
    whole, streamed = complete(request, model), stream(request, model)
    assert list(events(b"".join(streamed.blocks())))
    joined = streamed.completion()
    assert without_time(joined.body) == without_time(whole.body)
    assert (joined.text, joined.generated, joined.finish_reasons) == (whole.text, whole.generated, whole.finish_reasons)
    assert (joined.usage, joined.upstream_request_id) == (whole.usage, whole.upstream_request_id)


def test_it_comes_word_by_word_and_ends_with_its_usage() -> None:
    first, *middle, end, usage = events(b"".join(stream(saying("one two  three ")).blocks()))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "one", "refusal": None}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in middle] == [" two", "  three", " "]
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, "stop")
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] > 0
    assert {chunk["object"] for chunk in (first, *middle, end, usage)} == {"chat.completion.chunk"}


def test_a_language_without_spaces_comes_in_pieces_too() -> None:
    assert len(events(b"".join(stream(saying("お誕生日おめでとう" * 10)).blocks()))) > 6


def test_the_pace_spreads_the_words_evenly() -> None:
    started = time.monotonic()
    streamed = stream(saying("Hello"), "echo?tokens=20&tokens_per_second=50&latency_ms=100")
    assert time.monotonic() - started >= 0.1, "the latency is over before the first event"
    came = [time.monotonic() - started for block in streamed.blocks() if block]
    assert len(came) > 10
    assert came[0] < 0.3
    assert 0.5 <= came[-1] < 1.5


def test_without_a_pace_all_comes_at_once_and_in_blocks_that_fit() -> None:
    blocks = list(stream(saying("Hello"), "echo?tokens=5000").blocks())
    assert len(blocks) > 10
    assert max(map(len, blocks)) < 20_000


def test_silence_is_broken_by_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.providers.offline.TICK", 0.05)
    blocks = list(stream(saying("a"), "echo?tokens_per_second=2").blocks())
    assert blocks[:2] == [b"", b""]
    assert len(events(b"".join(blocks))) == 3


@pytest.mark.parametrize("how", ["503", "reset", "timeout"])
def test_a_failure_comes_before_the_first_event(how: str) -> None:
    with pytest.raises((UpstreamError, UpstreamTimeout)):
        provider().stream(saying("Hello"), f"echo?fail={how}", call(seconds=0.2))


def test_a_stream_that_is_cut_breaks_off_in_the_middle() -> None:
    streamed = stream(saying("one two three four five six"), "echo?fail=cut")
    with pytest.raises(UpstreamError):
        list(streamed.blocks())
    assert streamed.completion().text == "one two three four"
    assert streamed.completion().usage is None


@pytest.mark.parametrize("model", ["echo?tokens=100&tokens_per_second=10", "echo?tokens=5000"])
def test_a_stream_ends_at_its_deadline(model: str) -> None:
    blocks = provider().stream(saying("Hello"), model, call(seconds=0.3)).blocks()
    next(blocks)
    time.sleep(0.3)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        list(blocks)
    assert time.monotonic() - started < 3


def test_a_stream_ends_where_its_client_has_left() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        blocks = provider().stream(saying("Hello"), "echo?tokens=100&tokens_per_second=10", call(client=ours)).blocks()
        next(blocks)
        theirs.close()
        started = time.monotonic()
        with pytest.raises(ClientLeft):
            list(blocks)
    assert time.monotonic() - started < 1


def test_a_stream_that_is_left_says_no_more_and_knows_what_it_said() -> None:
    streamed = stream(saying("one two three"), "echo?tokens_per_second=20")
    blocks = streamed.blocks()
    next(blocks)
    streamed.leave()
    assert list(blocks) == []
    assert streamed.completion().text == "one"
