"""The order of a response's events, and what becomes of vendors' ways of their own."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire import responses_answers
from gateway.wire.openai import chunks
from tests.unit.wire.test_responses import told


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
        (call,) = responses_answers.from_chat(answer, {})["output"]
        assert call["arguments"] == arguments


def test_calls_that_a_vendor_gives_the_same_index_stay_apart_and_a_repeated_id_begins_none() -> None:
    def chunk(its_id: str, arguments: str) -> dict[str, Any]:
        call = {"index": 0, "id": its_id, "type": "function", "function": {"name": "f", "arguments": arguments}}
        signed = {"extra_content": {"google": {"thought_signature": its_id}}}
        return {"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [call | signed]}}]}

    output = told([chunk("a", "{"), chunk("a", "}"), chunk("b", "[]")], {})[-1]["response"]["output"]
    assert [item.get("arguments") or item["encrypted_content"] for item in output] == [
        "google:a",
        "{}",
        "google:b",
        "[]",
    ]


def test_log_probabilities_are_told_with_the_text_that_they_are_of() -> None:
    score = {"token": "Yo", "logprob": -0.5, "bytes": [89, 111], "top_logprobs": []}
    choice = {"index": 0, "message": {"content": "Yo"}, "logprobs": {"content": [score]}, "finish_reason": "stop"}
    answer = {"choices": [choice]}
    (message,) = responses_answers.from_chat(answer, {})["output"]
    assert message["content"][0]["logprobs"] == [score]
    assert [event["logprobs"] for event in told(chunks(answer), {}) if "logprobs" in event] == [[score]] * 2


def said(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    choices = [{"index": at, "message": message, "finish_reason": "stop"} for at, message in enumerate(messages)]
    return responses_answers.from_chat({"choices": choices, **more}, {})


def test_only_the_first_choice_is_told() -> None:
    (message,) = said({"content": "A"}, {"content": "B"})["output"]
    assert message["content"][0]["text"] == "A"


def test_of_parts_of_a_text_thoughts_are_left_out() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Yo"}]
    (message,) = said({"content": parts})["output"]
    assert message["content"][0]["text"] == "Yo"


def test_a_thought_that_says_nothing_is_no_item() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": ""}
    assert said({"content": None, "thinking_blocks": [thought]})["output"] == []


def test_thoughts_of_vendors_that_sign_none_are_told_too() -> None:
    for name in ("reasoning_content", "reasoning"):
        (thought,) = said({"content": None, name: "Hm"})["output"]
        assert (thought["summary"], "encrypted_content" in thought) == ([{"type": "summary_text", "text": "Hm"}], False)


@pytest.mark.parametrize(("told_", "tier"), [("priority", "priority"), ("on_demand", "default"), (None, "default")])
def test_a_service_tier_is_one_of_openais(told_: str | None, tier: str) -> None:
    assert said({"content": "A"}, service_tier=told_)["service_tier"] == tier


def test_a_stream_that_says_nothing_ends_with_a_response_of_its_own() -> None:
    one, other = (told([], {})[-1]["response"] for _ in range(2))
    assert one["output"] == []
    assert one["id"] != other["id"]
