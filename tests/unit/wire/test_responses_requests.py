"""A request for a response asks the same as a chat."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.model import Usage
from gateway.wire.responses_answers import from_chat
from gateway.wire.responses_requests import to_chat, without_foreign


def part(kind: str, **says: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": kind, **says}]}


CALL = {"type": "function_call", "id": "fc_1", "status": "completed", "call_id": "a", "name": "f", "arguments": "{}"}
CALLED = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ("Hi", [{"role": "user", "content": "Hi"}]),
        ([{"role": "developer", "content": "Hi"}], [{"role": "developer", "content": "Hi"}]),
        ([{"type": "message", **part("input_text", text="Hi")}], [part("text", text="Hi")]),
        ([part("input_text", text="Hi", prompt_cache_breakpoint={"mode": "explicit"})],
         [part("text", text="Hi", prompt_cache_breakpoint={"mode": "explicit"})]),
        ([part("input_image", image_url="data:,", detail="low")], [part("image_url", image_url={"url": "data:,", "detail": "low"})]),
        ([part("input_image", file_id="file-1")], [part("input_image", file_id="file-1")]),
        ([part("input_file", file_data="data:,", filename="a")], [part("file", file={"file_data": "data:,", "filename": "a"})]),
        ([part("input_file", file_url="https://a.test")], [part("file", file={"file_data": "https://a.test"})]),
        ([part("input_file", file_id="file-1")], [part("file", file={"file_id": "file-1"})]),
        ([CALL], [{"role": "assistant", "content": None, "tool_calls": [CALLED]}]),
        (
            [{"role": "assistant", "content": "Yo"}, CALL, {**CALL, "call_id": "b"}],
            [{"role": "assistant", "content": "Yo", "tool_calls": [CALLED, {**CALLED, "id": "b"}]}],
        ),
        (
            [{"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "1"}]}],
            [{"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]}],
        ),
        (
            [{"type": "custom_tool_call_output", "call_id": "a", "output": "1"}],
            [{"role": "tool", "tool_call_id": "a", "content": "1"}],
        ),
        ([{"type": "reasoning", "id": "rs_1", "summary": []}], [{"role": "assistant", "content": None, "reasoning_id": "rs_1"}]),
        (
            [{"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]}],
            [{"role": "assistant", "content": None, "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": ""}]}],
        ),
        (
            [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gateway:google:c2ln"}, {"role": "user", "content": "Hi"}, CALL],
            [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [CALLED]}],
        ),
        (
            [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "gAAAAAB="}],
            [{"role": "assistant", "content": None, "thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": ""}]}],
        ),
        ([{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB="}], []),
        ([{"id": "msg_1"}], [part("item_reference", id="msg_1")]),
        ([{"type": "web_search_call", "id": "ws_1"}], [part("web_search_call", id="ws_1")]),
    ],
    ids=str,
)  # fmt: skip
def test_each_item_becomes_the_message_of_a_chat_that_says_the_same(items: Any, messages: list[dict[str, Any]]) -> None:
    assert to_chat({"input": items}) == {"messages": messages}


SCHEMA = {"name": "a", "schema": {"type": "object"}, "strict": True}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False}
GRAMMAR = {"syntax": "lark", "definition": "start: /a/"}


@pytest.mark.parametrize(
    ("given_", "asked"),
    [
        ({"max_output_tokens": 5}, {"max_completion_tokens": 5}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low", "reasoning": {"summary": "auto"}}),
        ({"reasoning": {"effort": None}, "text": None, "tools": [], "tool_choice": None, "temperature": None}, {}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        ({"text": {"format": {"type": "json_schema", **SCHEMA}, "new": 1}},
         {"response_format": {"type": "json_schema", "json_schema": SCHEMA}, "text": {"new": 1}}),
        ({"tools": [{"type": "function", **FUNCTION}]}, {"tools": [{"type": "function", "function": FUNCTION}]}),
        ({"tools": [{"type": "function", "name": "f", "description": None, "defer_loading": True}]},
         {"tools": [{"type": "function", "function": {"name": "f"}, "defer_loading": True}]}),
        ({"tools": [{"type": "custom", "name": "g", "format": {"type": "grammar", **GRAMMAR}}]},
         {"tools": [{"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": GRAMMAR}}}]}),
        ({"tools": [{"type": "web_search"}]}, {"tools": [{"type": "web_search"}]}),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "function", "name": "f"}}, {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        ({"tool_choice": {"type": "custom", "name": "g"}}, {"tool_choice": {"type": "custom", "custom": {"name": "g"}}}),
        ({"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}},
         {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
             {"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]}}}),
        ({"tool_choice": {"type": "web_search"}}, {"tool_choice": {"type": "web_search"}}),
        ({"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True, "include": ["message.output_text.logprobs"]}),
        ({"store": False, "background": False, "truncation": "disabled"}, {}),
        ({"store": True, "background": True, "truncation": "auto"}, {"store": True, "background": True, "truncation": "auto"}),
        ({"previous_response_id": "resp_1", "max_tool_calls": 1, "metadata": {}},
         {"previous_response_id": "resp_1", "max_tool_calls": 1, "metadata": {}}),
        ({"model": "m", "user": "u", "stream": True, "prompt_cache_key": "k", "safety_identifier": "s"}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_each_field_asks_the_same_of_a_chat(given_: dict[str, Any], asked: dict[str, Any]) -> None:
    assert to_chat({"input": [], **given_}) == {"messages": [], **asked}


def test_instructions_come_first() -> None:
    messages = to_chat({"instructions": "Be brief.", "input": "Hi"})["messages"]
    assert messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def test_thoughts_of_other_vendors_and_none_else_are_kept_from_openai() -> None:
    answer = {"choices": [{"index": 0, "finish_reason": "stop", "message": {
        "content": "Yo",
        "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "thinking", "thinking": "Hm", "signature": ""},
            {"type": "redacted_thinking", "data": "ZGF0YQ"},
        ],
        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"},
                        "extra_content": {"google": {"thought_signature": "c2ln"}}}],
    }}]}  # fmt: skip
    *thoughts, message, signed, call = from_chat(answer, {}, Usage(1, 1))["output"]
    own: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAB="}
    assert len(thoughts) == 3
    kept = [{"role": "user", "content": "Hi"}, own, message, call]
    body = orjson.dumps({"input": [*kept[:2], *thoughts, message, signed, call], "model": "m"})
    assert orjson.loads(without_foreign(body)) == {"input": kept, "model": "m"}
    for given_ in (kept, "gateway:thought: is a word", None):
        body = orjson.dumps({"input": given_})
        assert without_foreign(body) == body
