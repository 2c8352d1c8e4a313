"""Streams of Anthropic's made of chunks, and chunks of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given

from gateway.model import Usage
from gateway.wire import anthropic_answers, anthropic_replay, openai
from gateway.wire.anthropic_events import FromChat, ToChat
from tests.unit.wire.anthropic_messages import messages, through_chat, usage_of, whole

Dict = dict[str, Any]
NOTHING = Usage(0, 0)
PIECES = ("text", "thinking", "partial_json")


def letter_by_letter(events: Iterable[Dict]) -> Iterator[Dict]:
    for event in events:
        names = [name for name in PIECES if name in event.get("delta", ())]
        if not names:
            yield event
        for name in names:
            yield from ({**event, "delta": {**event["delta"], name: letter}} for letter in event["delta"][name])


def chunks(events: Iterable[Dict]) -> list[Dict]:
    made = ToChat(1)
    return [chunk for event in events for chunk in made.chunks(event)]


def told(chunks: Iterable[Dict], usage: Usage = NOTHING) -> list[Dict]:
    made = FromChat()
    return [event for chunk in chunks for event in made.events(chunk)] + list(made.end(usage))


def said(*deltas: Any, reason: str = "stop") -> Dict:
    """The message of a stream that has these deltas."""
    given = [{"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return whole(told([*given, {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}]))


def call(index: Any = 0, its_id: Any = None, name: Any = None, arguments: Any = None) -> Dict:
    entry = {"index": index, "id": its_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [{key: value for key, value in entry.items() if value is not None}]}


def calls(message: Dict) -> list[tuple[str, Any]]:
    return [(block["name"], block["input"]) for block in message["content"] if block["type"] == "tool_use"]


@given(messages())
def test_a_stream_of_a_message_comes_back_as_it_was(message: Dict) -> None:
    there = chunks(letter_by_letter(anthropic_replay.events(message)))
    assert whole(told(there, usage_of(message))) == through_chat(message)


@given(messages())
def test_a_message_comes_back_as_it_was_where_its_chat_is_given_again_as_a_stream(message: Dict) -> None:
    there = openai.chunks(anthropic_answers.to_chat(message, 1))
    assert whole(told(there, usage_of(message))) == through_chat(message)


@given(messages())
def test_what_a_clients_deltas_come_together_to_are_the_thoughts_of_the_whole_chat(message: Dict) -> None:
    deltas = [
        choice["delta"]
        for chunk in chunks(letter_by_letter(anthropic_replay.events(message)))
        for choice in chunk["choices"]
    ]
    expected = anthropic_answers.to_chat(message, 1)["choices"][0]["message"]
    assert [block for delta in deltas for block in delta.get("thinking_blocks", ())] == expected.get(
        "thinking_blocks", []
    )
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == expected.get("reasoning_content", "")


def test_calls_whose_pieces_come_by_turns_are_whole_blocks_one_after_the_other() -> None:
    pieces = (
        call(0, "a", "first", ""),
        call(1, "b", "second", ""),
        call(0, arguments='{"x":'),
        call(1, arguments='{"y":"'),
        call(0, arguments="1}"),
        {"content": "and"},
        call(1, arguments='2"}'),
    )
    message = said(*pieces, reason="tool_calls")
    assert [block["type"] for block in message["content"]] == ["tool_use", "tool_use", "text"]
    assert calls(message) == [("first", {"x": 1}), ("second", {"y": "2"})]
    assert [block["id"] for block in message["content"][:2]] == ["a", "b"]


def test_a_call_is_told_as_it_comes_once_the_one_before_it_is_whole() -> None:
    made = FromChat()
    for delta in (call(0, "a", "first", '{"x": 1}'), call(1, "b", "second", "")):
        list(made.events({"choices": [{"delta": delta}]}))
    (event,) = made.events({"choices": [{"delta": call(1, arguments='{"y"')}]})
    assert event["delta"] == {"type": "input_json_delta", "partial_json": '{"y"'}


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "a", "first", '{"x":1}'), call(0, "b", "second", '{"y":2}')],
        [call(0, None, "first", '{"x":1}'), call(1, None, "second", '{"y":2}')],
        [call(0, None, "first", '{"x":1}'), call(0, None, "second", '{"y":2}')],
        [call(None, None, "first", '{"x":1}'), call(None, None, "second", '{"y":2}')],
        [call(0, "", "first", '{"x"'), call(0, "late", arguments=":1}"), call(1, "b", "second", {"y": 2})],
        [call(0, "a", None, ""), call(0, "a", "first", '{"x":1}'), call(1, "b", "second", '{"y":2}')],
        [call(0, "a", "first", '{"x"'), call(0, "a", "first", ":1}"), call(1, "b", "second", '{"y":2}')],
    ],
)
def test_calls_are_told_apart_however_a_vendor_numbers_and_names_them(pieces: list[Dict]) -> None:
    message = said(*pieces)
    assert calls(message) == [("first", {"x": 1}), ("second", {"y": 2})]
    ids = [block["id"] for block in message["content"]]
    assert all(ids)
    assert len(set(ids)) == 2
    assert message["stop_reason"] == "tool_use"


def test_an_input_that_stands_at_the_start_of_its_block_is_kept() -> None:
    block = {"type": "tool_use", "id": "a", "name": "look", "input": {"x": 1}}
    started = [
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
    ]
    deltas = [choice["delta"] for chunk in chunks(started) for choice in chunk["choices"]]
    assert "".join(delta["tool_calls"][0]["function"]["arguments"] for delta in deltas) == '{"x":1}'


def test_thoughts_and_texts_in_parts_are_blocks_in_their_order() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "reference", "ids": [1]}]}
    message = said({"content": [thought]}, {"content": [{**thought, "thinking": "m."}, {"type": "text", "text": "Ye"}]},
                   {"content": "s"})  # fmt: skip
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Yes"},
    ]


def test_a_signature_without_the_thoughts_text_ends_what_was_told() -> None:
    ended = {"reasoning_content": "", "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]}
    piece = {"reasoning_content": "H", "thinking_blocks": [{"type": "thinking", "thinking": "H", "signature": ""}]}
    message = said(piece, {**piece, "reasoning_content": "m"}, ended, {"reasoning": "Oh"})
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "thinking", "thinking": "Oh", "signature": ""},
    ]


def test_a_refusal_is_a_text_and_the_reason_why_it_ends() -> None:
    message = said({"refusal": "I can"}, {"refusal": "not."})
    assert (message["content"], message["stop_reason"]) == ([{"type": "text", "text": "I cannot."}], "refusal")


def test_the_usage_is_the_one_that_was_settled() -> None:
    reported = {"choices": [], "usage": {"prompt_tokens": 999, "completion_tokens": 999}}
    (*_, end, _) = told([reported], Usage(10, 5, cached_tokens=2, cache_write_tokens=3, written_for_1h=1))
    assert end["usage"] == {
        "input_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 1},
    }  # fmt: skip


@pytest.mark.parametrize("odd", [{"choices": 5}, {"choices": [5]}, {"choices": [{"delta": 5}]}, {"id": 5, "model": 5}])
def test_a_stream_begins_even_where_its_first_chunk_cannot_be_read(odd: Dict) -> None:
    message = whole(told([odd, {"choices": [{"delta": {"content": "a"}}]}]))
    assert (message["type"], message["content"]) == ("message", [{"type": "text", "text": "a"}])


ODD: list[Any] = [
    {"content": None, "refusal": None, "tool_calls": None, "reasoning_content": None, "thinking_blocks": None},
    {"content": 5, "refusal": 5, "tool_calls": 5, "reasoning_content": 5, "thinking_blocks": 5},
    {"content": [5, None, {"type": "text"}, {"type": "text", "text": 5}, {"type": "thinking", "thinking": [5]}]},
    {"tool_calls": [5, {}, {"function": 5}, {"function": {"name": 5, "arguments": 5}}], "thinking_blocks": [1, {}]},
    {"tool_calls": [{"index": [], "id": 5, "extra_content": 5, "function": {"name": "f", "arguments": "[]"}}]},
    {"thinking_blocks": [{"type": "thinking", "thinking": None, "signature": 5}, {"type": "thinking"}]},
]


@pytest.mark.parametrize("arguments", ["{", "[]", '{"x":' * 253 + "1" + "}" * 253, '{"x":' * 2000])
def test_a_call_whose_arguments_cannot_be_read_is_told_as_it_came(arguments: str) -> None:
    odd = {"id": "a", "function": {"name": "f", "arguments": arguments}}
    answer = {"choices": [{"message": {"content": None, "tool_calls": [odd]}}]}
    message = orjson.loads(orjson.dumps(anthropic_answers.from_chat(answer, NOTHING)))
    assert calls(message) == [("f", {"arguments": arguments})]
    events = told([{"choices": [{"delta": {"tool_calls": [odd]}}]}])
    assert [event["delta"]["partial_json"] for event in events if "index" in event and "delta" in event] == [arguments]


@pytest.mark.parametrize("odd", ODD)
def test_what_cannot_be_read_costs_nothing_else_of_an_answer(odd: Dict) -> None:
    streamed = said({"content": "before "}, odd)
    assert streamed["content"][0]["text"].strip() == "before"
    answer = {"id": None, "choices": [{"message": odd, "finish_reason": []}], "usage": 5}
    message = anthropic_answers.from_chat(answer, Usage(1, 2))
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (1, 2)
    assert isinstance(message["content"], list)
