"""A stream's events put together are the answer that it would have been as a whole."""

from __future__ import annotations

import gc
import time
import tracemalloc
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Completion, Operation, Usage
from gateway.wire import sse
from gateway.wire import transcript as transcripts
from gateway.wire.openai import chunks
from gateway.wire.transcript import Transcript

text = st.text(max_size=20)
call = st.builds(
    lambda number, name, arguments: {
        "id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}
    },
    st.integers(0, 9), st.sampled_from(["f", "g"]), text,
)  # fmt: skip
message = st.builds(
    lambda content, refusal, calls: {"role": "assistant", "content": content, "refusal": refusal}
    | ({"tool_calls": calls, "content": None} if calls else {}),
    text, st.none() | text.filter(bool), st.lists(call, max_size=3),
)  # fmt: skip
logprobs = st.none() | st.builds(
    lambda tokens: {"content": [{"token": token, "logprob": -0.5} for token in tokens], "refusal": None},
    st.lists(text, min_size=1, max_size=3),
)
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def answer(kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    head = {"id": "x", "object": kind, "created": 1, "model": "m", "system_fingerprint": "fp"}
    return {**head, "choices": [{"index": index, **choice} for index, choice in enumerate(choices)], "usage": usage}


chat = st.builds(
    lambda choices: answer("chat.completion", choices),
    st.lists(st.fixed_dictionaries({"message": message, "logprobs": logprobs, "finish_reason": reasons}), min_size=1, max_size=3),
)  # fmt: skip
completions = st.builds(
    lambda choices: answer("text_completion", choices),
    st.lists(st.fixed_dictionaries({"text": text, "logprobs": st.none(), "finish_reason": reasons}), min_size=1, max_size=3),
)  # fmt: skip


def joined(operation: Operation, blocks: list[bytes]) -> Any:
    transcript = Transcript(operation)
    for block in blocks:
        transcript.add(block)
    return orjson.loads(transcript.completion().body)


def streamed(whole: dict[str, Any], size: int) -> list[bytes]:
    def cut(text: str) -> list[str]:
        return [text[place : place + size] for place in range(0, len(text), size)] or [""]

    return [sse.event(orjson.dumps(chunk)) for chunk in chunks(whole, cut)]


@given(chat, st.integers(1, 5))
def test_a_chats_stream_joined_is_the_whole_answer(whole: dict[str, Any], size: int) -> None:
    assert joined("chat", streamed(whole, size)) == whole


@given(completions, st.integers(1, 5))
def test_a_completions_stream_joined_is_the_whole_answer(whole: dict[str, Any], size: int) -> None:
    assert joined("completions", streamed(whole, size)) == whole


@given(chat, st.integers(1, 5), st.integers(1, 7))
def test_how_events_are_gathered_into_blocks_does_not_matter(whole: dict[str, Any], size: int, block: int) -> None:
    events = streamed(whole, size)
    blocks = [b"".join(events[place : place + block]) for place in range(0, len(events), block)]
    assert joined("chat", blocks) == whole


@given(chat, st.integers(1, 3))
def test_putting_together_in_between_does_not_matter(whole: dict[str, Any], size: int) -> None:
    transcript = Transcript("chat")
    for block in streamed(whole, size):
        transcript.add(block)
        transcript.completion()
    assert orjson.loads(transcript.completion().body) == whole


def chunk(delta: Any, **rest: Any) -> bytes:
    return sse.event(orjson.dumps({"choices": [{"index": 0, "delta": delta, **rest}]}))


def test_a_role_or_an_id_that_comes_with_every_chunk_is_said_once() -> None:
    piece = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "1"}}
    deltas = [chunk({"role": "assistant", "content": "a", "tool_calls": [piece]})] * 2
    found = joined("chat", deltas)["choices"][0]["message"]
    assert (found["role"], found["content"]) == ("assistant", "aa")
    assert found["tool_calls"] == [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "11"}}]


def test_reasoning_and_tool_calls_count_as_generated_and_only_text_as_text() -> None:
    transcript = Transcript("chat")
    transcript.add(chunk({"reasoning_content": "hm", "content": "yes"}, finish_reason=None))
    transcript.add(chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}))
    found = transcript.completion()
    assert (found.text, sorted(found.generated)) == ("yes", sorted("yeshmf{}"))


def test_several_calls_of_one_index_that_have_ids_of_their_own_stay_apart() -> None:
    calls = [{"index": 0, "id": name, "function": {"name": "f", "arguments": "{}"}} for name in "ab"]
    found = joined("chat", [chunk({"tool_calls": [call]}) for call in calls])["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in found] == ["a", "b"]


def test_content_in_text_and_in_parts_is_kept_and_counted() -> None:
    transcript = Transcript("chat")
    for content in ([{"type": "text", "text": "a"}], "b", [{"type": "thinking"}], "c"):
        transcript.add(chunk({"content": content}))
    assert transcript.completion().text == "abc"


def test_an_answer_with_an_event_that_cannot_be_read_is_counted_and_not_kept() -> None:
    transcript = Transcript("chat")
    transcript.add(chunk({"content": "a"}) + b"data: {broken\n\n" + chunk({"content": "b"}, finish_reason="stop"))
    found = transcript.completion()
    assert (found.text, found.body) == ("ab", b"")


def test_padding_is_not_kept() -> None:
    padded = sse.event(orjson.dumps({"choices": [{"index": 0, "delta": {"content": "a"}}], "obfuscation": "xyz"}))
    assert "obfuscation" not in joined("chat", [padded])


def test_an_event_of_a_million_parts_is_not_built() -> None:
    transcript = Transcript("chat")
    tracemalloc.start()
    transcript.add(b'data: {"a": [' + b"[]," * 1_000_000 + b"0]}\n\n")
    transcript.completion()
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_the_latest_usage_counts() -> None:
    transcript = Transcript("chat")
    for tokens in (1, 5):
        reported = {"prompt_tokens": 3, "completion_tokens": tokens}
        transcript.add(sse.event(orjson.dumps({"choices": [], "usage": reported})))
    assert transcript.completion().usage == Usage(3, 5)


@pytest.mark.parametrize(
    "payload",
    [b"garbage", b"[]", b"null", b"7", b'{"choices": null}', b'{"choices": 7}', b'{"choices": [7]}',
     b'{"choices": {"a": 1}}', b'{"choices": [{"delta": 7}]}', b'{"choices": [{"index": [], "delta": {}}]}',
     b'{"choices": [{"index": 0, "delta": {"content": 7, "tool_calls": 7}}]}', b'{"usage": 7}',
     b'{"choices": [{"index": null, "delta": {}}, {"index": null, "delta": {}}]}',
     b'{"choices": [{"index": 0, "delta": {"tool_calls": "x"}}]}', b'{"choices": [{"index": 0, "delta": {"tool_calls": ["x"]}}]}',
     b'{"choices": [{"index": 0, "delta": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}]}",
     b'{"choices": [{"index": 0, "delta": {"a": ' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}}]}",
     b'{"choices": [{"index": 0, "text": 7}]}', b'{"choices": [{"index": 0, "delta": {"content": {"a": 1}}}]}'],
)  # fmt: skip
def test_nonsense_in_a_stream_never_fails(payload: bytes) -> None:
    good = chunk({"content": "ok"})
    for operation in ("chat", "completions"):
        for events in ([payload], [payload, payload]):
            transcript = Transcript(operation)
            transcript.add(good + b"".join(map(sse.event, events)) + good)
            transcript.completion()


def test_a_choice_without_an_index_is_the_first() -> None:
    bare = sse.event(orjson.dumps({"choices": [{"delta": {"content": "a"}}]}))
    assert joined("chat", [bare, bare])["choices"][0]["message"]["content"] == "aa"


def test_the_work_grows_with_the_stream_and_not_with_its_square() -> None:
    entry = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0}], "text_offset": [0]}
    piece = sse.event(orjson.dumps({"choices": [{"index": 0, "text": "a", "logprobs": entry}]}))
    many = sse.event(orjson.dumps({"choices": [{"index": index, "text": "a"} for index in range(200)]}))

    def seconds(block: bytes, times: int) -> float:
        transcript = Transcript("completions")
        gc.disable()  # what it looks through is everything that other tests have left
        started = time.process_time()
        for _ in range(times):
            transcript.add(block)
        transcript.completion()
        spent = time.process_time() - started
        gc.enable()
        return spent

    assert seconds(piece, 20_000) < 40 * max(seconds(piece, 2_000), 0.01)  # the square would be 100 times
    assert seconds(many, 300) < 40 * max(seconds(many, 30), 0.01)
    few, most = ([{"index": index} for index in range(count)] for count in (1_000, 10_000))
    times = [seconds(sse.event(orjson.dumps({"choices": choices})), 1) for choices in (few, most)]
    assert times[1] < 40 * max(times[0], 0.01)


def test_of_more_choices_than_anybody_asks_for_not_all_are_remembered() -> None:
    transcript = Transcript("chat")
    for start in range(0, 10_000, 100):
        choices = [{"index": index, "delta": {"content": "a"}} for index in range(start, start + 100)]
        transcript.add(sse.event(orjson.dumps({"choices": choices})))
    assert transcript.completion().body == b""
    assert len(transcript.completion().finish_reasons) < 5_000


def test_sounds_and_probabilities_are_no_text_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "_MOST_KEPT", 1000)
    transcript = Transcript("chat")
    for _ in range(10):
        transcript.add(chunk({"audio": {"data": "x" * 40_000}, "content": "word"}))
    found = transcript.completion()
    assert len(found.generated) + found.not_kept == 40


@pytest.mark.parametrize(("first", "kept"), [("MTIz", True), ("MTIzNDU=", False)])
def test_sound_that_was_cut_within_its_base64_is_not_kept(first: str, kept: bool) -> None:
    transcript = Transcript("chat")
    for data in (first, "Njc4OTA="):
        transcript.add(chunk({"audio": {"data": data}}))
    assert bool(transcript.completion().body) is kept


def test_a_very_long_answer_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcripts, "_MOST_KEPT", 100_000)
    transcript = Transcript("chat")
    block = chunk({"content": "x" * 1000})
    tracemalloc.start()
    for _ in range(5_000):
        transcript.add(block)
    transcript.add(chunk({}, finish_reason="stop"))
    found = transcript.completion()
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert found.body == b""
    assert len(found.generated) + found.not_kept == 5_000_000
    assert found.finish_reasons == ("stop",)


def _choices() -> st.SearchStrategy[dict[str, Any]]:
    logprobs = st.sampled_from([None, {"content": [{"token": "a"}]}])
    delta = st.one_of(
        st.fixed_dictionaries({"content": st.sampled_from(["", "a", "ö", None])}),
        st.fixed_dictionaries({"role": st.just("assistant"), "content": st.just("x")}),
        st.just({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]}),
        st.just({}),
    )
    return st.fixed_dictionaries(
        {"index": st.sampled_from([0, 0, 0, 1]), "delta": delta},
        optional={"logprobs": logprobs, "finish_reason": st.sampled_from([None, None, "stop"])},
    )


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.sampled_from(["one", "one", "two"]), "choices": st.lists(_choices(), max_size=2)},
            optional={"usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}])},
        ),
        max_size=12,
    )
)
def test_texts_that_are_taken_in_together_make_the_same_answer(chunks: list[dict[str, Any]]) -> None:
    def completion() -> Completion:
        transcript = Transcript("chat")
        transcript.add(b"".join(sse.event(orjson.dumps(chunk)) for chunk in chunks))
        return transcript.completion()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.wire.transcript._text", lambda chunk, usual: None)
        one_by_one = completion()
    together = completion()
    assert orjson.loads(together.body or b"0") == orjson.loads(one_by_one.body or b"0")
    assert replace(together, body=b"") == replace(one_by_one, body=b"")
