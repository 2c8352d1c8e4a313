"""The order of a response's events, and what becomes of vendors' ways of their own."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import responses_answers
from gateway.wire.openai import chunks
from gateway.wire.responses_events import FromChat
from gateway.wire.signatures import is_ours
from tests.unit.wire.test_responses import NOTHING, told

NAMES = [
    "content", "refusal", "reasoning_content", "annotations", "thinking_blocks", "tool_calls", "type", "text", "index",
    "id", "function", "custom", "name", "arguments", "thinking", "signature", "extra_content", "url_citation",
]  # fmt: skip


def test_events_come_in_the_order_in_which_openai_sends_them() -> None:
    message = {
        "role": "assistant",
        "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "c2ln"}],
        "content": "Yo",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}},
        ],
    }
    answer = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    assert [event["type"].removeprefix("response.") for event in told(chunks(answer), {})] == [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done",
        "completed",
    ]  # fmt: skip


def test_a_call_without_arguments_has_an_empty_object_unless_it_was_cut() -> None:
    message = {"content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]}
    for reason, arguments in (("tool_calls", "{}"), ("length", "")):
        answer = {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}
        (call,) = responses_answers.from_chat(answer, {}, NOTHING)["output"]
        assert call["arguments"] == arguments


def test_calls_that_a_vendor_gives_the_same_index_stay_apart_and_a_repeated_id_begins_none() -> None:
    def chunk(its_id: str, arguments: str) -> dict[str, Any]:
        call = {"index": 0, "id": its_id, "type": "function", "function": {"name": "f", "arguments": arguments}}
        signed = {"extra_content": {"google": {"thought_signature": its_id}}}
        return {"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [call | signed]}}]}

    output = told([chunk("a", "{"), chunk("a", "}"), chunk("b", "[]")], {})[-1]["response"]["output"]
    assert [item.get("arguments") or item["encrypted_content"] for item in output] == [
        "gateway:google:a",
        "{}",
        "gateway:google:b",
        "[]",
    ]


def test_log_probabilities_are_told_with_the_text_that_they_are_of() -> None:
    score = {"token": "Yo", "logprob": -0.5, "bytes": [89, 111], "top_logprobs": []}
    choice = {"index": 0, "message": {"content": "Yo"}, "logprobs": {"content": [score]}, "finish_reason": "stop"}
    answer = {"choices": [choice]}
    (message,) = responses_answers.from_chat(answer, {}, NOTHING)["output"]
    assert message["content"][0]["logprobs"] == [score]
    assert [event["logprobs"] for event in told(chunks(answer), {}) if "logprobs" in event] == [[score]] * 2


def said(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    choices = [{"index": at, "message": message, "finish_reason": "stop"} for at, message in enumerate(messages)]
    return responses_answers.from_chat({"choices": choices, **more}, {}, NOTHING)


def test_only_the_first_choice_is_told() -> None:
    (message,) = said({"content": "A"}, {"content": "B"})["output"]
    assert message["content"][0]["text"] == "A"


def test_thoughts_and_refusals_among_the_parts_of_a_text_are_told_as_such() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    parts = [thought, {"type": "text", "text": "Yo"}, {"type": "refusal", "refusal": "No"}]
    told_of_all, message = said({"content": parts})["output"]
    assert told_of_all["summary"] == [{"type": "summary_text", "text": "Hm"}]
    assert [part.get("text") or part["refusal"] for part in message["content"]] == ["Yo", "No"]


def test_a_thought_that_says_nothing_is_no_item() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": ""}
    assert said({"content": None, "thinking_blocks": [thought]})["output"] == []


def test_thoughts_of_vendors_that_sign_none_are_told_too() -> None:
    for name in ("reasoning_content", "reasoning"):
        (thought,) = said({"content": None, name: "Hm"})["output"]
        assert thought["summary"] == [{"type": "summary_text", "text": "Hm"}]
        assert is_ours(thought["encrypted_content"])


@pytest.mark.parametrize(("told_", "tier"), [("priority", "priority"), ("on_demand", "default"), (None, "default")])
def test_a_service_tier_is_one_of_openais(told_: str | None, tier: str) -> None:
    assert said({"content": "A"}, service_tier=told_)["service_tier"] == tier


def test_a_stream_that_says_nothing_ends_with_a_response_of_its_own() -> None:
    one, other = (told([], {})[-1]["response"] for _ in range(2))
    assert one["output"] == []
    assert one["id"] != other["id"]


def piece(index: int | None, its_id: str | None = None, arguments: str = "", name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function} | ({"id": its_id} if its_id else {})]}


def streamed(*deltas: Any, reason: str | None = None) -> list[dict[str, Any]]:
    chunks_ = [{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return told([*chunks_, {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}], {})


def called(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Whom the items call, with what, and the same as it was told piece by piece."""
    calls = {item["id"]: item for item in events[-1]["response"]["output"] if item["type"] == "function_call"}
    pieces = dict.fromkeys(calls, "")
    for event in events:
        if event["type"] == "response.function_call_arguments.delta":
            pieces[event["item_id"]] += event["delta"]
    return [(call["call_id"], call["arguments"], pieces[name]) for name, call in calls.items()]


@pytest.mark.parametrize("end", ["}", ""])
def test_calls_whose_pieces_come_mixed_are_whole_items_one_after_the_other(end: str) -> None:
    begun = [piece(0, "a", name="f"), piece(1, "b", name="f")]
    mixed = [
        piece(0, arguments='{"x":'),
        piece(1, arguments='{"y":'),
        piece(0, arguments="1}"),
        piece(1, arguments="2" + end),
    ]
    events = streamed(*begun, *mixed, {"content": "Yo"}, reason="tool_calls" if end else "length")
    assert called(events) == [("a", '{"x":1}', '{"x":1}'), ("b", '{"y":2' + end, '{"y":2' + end)]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["function_call", "function_call", "message"]
    assert [item["status"] for item in output[:2]] == ["completed", "completed" if end else "incomplete"]
    places = [event["output_index"] for event in events if "output_index" in event]
    assert places == sorted(places)


def test_a_call_is_told_as_it_comes_once_the_one_before_it_is_whole() -> None:
    made, events = FromChat({}), []
    for delta in (piece(0, "a", "{}", "f"), piece(1, "b", name="f"), piece(1, arguments='{"x"')):
        events = list(made.events({"choices": [{"index": 0, "delta": delta}]}))
    assert [event.get("delta") for event in events] == ['{"x"']


def test_a_call_whose_name_comes_late_is_told_with_it() -> None:
    events = streamed(piece(0, "a"), piece(0, arguments="{}", name="f"))
    added = [event["item"]["name"] for event in events if event["type"] == "response.output_item.added"]
    assert (added, called(events)) == (["f"], [("a", "{}", "{}")])


def test_what_is_said_in_the_middle_of_a_call_comes_behind_it() -> None:
    events = streamed(piece(0, "a", "{", "f"), {"content": "\n"}, piece(0, arguments="}"), {"content": "Yo"})
    assert called(events) == [("a", "{}", "{}")]
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["function_call", "message"]


@pytest.mark.parametrize("index", [0, None])
def test_calls_without_ids_get_their_own(index: int | None) -> None:
    same = [piece(index, arguments="{}", name="f"), piece(index, arguments="{}", name="f")]
    (one, *_), (other, *_), (third, *_) = called(streamed(*same, piece(index, arguments="{}", name="g")))
    assert len({one, other, third}) == 3


def test_ids_of_items_are_such_as_openai_takes_back() -> None:
    chunk = {"id": "gen:" + "x" * 99, "choices": [{"index": 0, "delta": {"content": "Yo"}}]}
    (item,) = told([chunk], {})[-1]["response"]["output"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", item["id"])


def test_a_thoughts_pieces_and_the_block_behind_them_are_one_item() -> None:
    block = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "ZGF0YQ"}
    pieces = [{"reasoning_content": "H"}, {"reasoning_content": "m"}, {"thinking_blocks": [block]}]
    at_once = {"reasoning_content": "HmHm", "thinking_blocks": [block, hidden, block]}
    for deltas in ([*pieces, {"thinking_blocks": [hidden]}, *pieces], [at_once]):
        output = streamed(*deltas)[-1]["response"]["output"]
        assert [(item["summary"], item["encrypted_content"]) for item in output] == [
            ([{"type": "summary_text", "text": "Hm"}], "gateway:thought:c2ln"),
            ([], "gateway:redacted:ZGF0YQ"),
            ([{"type": "summary_text", "text": "Hm"}], "gateway:thought:c2ln"),
        ]


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["thinking", "custom", "{}"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JUNK), max_size=4), JUNK)
def test_whatever_a_delta_holds_events_are_made_and_end_with_a_response(deltas: list[Any], choices: Any) -> None:
    chunks_ = [{"id": choices, "choices": [{"delta": delta}], "created": choices} for delta in deltas]
    events = told([*chunks_, {"choices": choices}], {})
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
