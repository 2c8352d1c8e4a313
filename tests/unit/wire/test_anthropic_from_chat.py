"""Chats as Anthropic takes them: what OpenAI's clients send and its published rules refuse is put right, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire.anthropic_from_chat import from_chat
from gateway.wire.fields import Untranslatable
from tests.fakes.anthropic_answers import signature
from tests.fakes.anthropic_schema import misfits

USER = {"role": "user", "content": "Hello"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"properties": {}}}}
OLDER, NEWER = "claude-haiku-4-5", "claude-sonnet-5-5"


def call(its_id: str = "call_1", arguments: str = "{}") -> dict[str, Any]:
    return {"id": its_id, "type": "function", "function": {"name": "look", "arguments": arguments}}


def called(its_id: str = "call_1", **said: Any) -> list[dict[str, Any]]:
    return [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call(its_id)], **said},
        {"role": "tool", "tool_call_id": its_id, "content": "It rains."},
    ]


def made(asked: dict[str, Any], model: str = OLDER) -> dict[str, Any]:
    """The request, which the published schema must fit."""
    document = {"model": model, **from_chat({"messages": [USER], **asked}, model, 4096)}
    headers = {"anthropic-version": "2023-06-01"}
    assert misfits("/v1/messages", headers, json.loads(json.dumps(document)), frozenset()) == []
    return document


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"messages": [{"role": "system", "content": "Be brief."}, USER]}, id="instructions"),
        pytest.param({"messages": [USER, {"role": "assistant", "content": ""}, USER]}, id="a turn without a word"),
        pytest.param({"messages": [USER, {"role": "assistant", "content": None}, USER]}, id="a turn of nothing"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "Hi"}]}]},
            id="an empty part",
        ),
        pytest.param({"messages": called("functions.look:0"), "tools": [TOOL]}, id="a call's id of another spelling"),
        pytest.param({"tool_choice": "auto"}, id="a choice among no tools"),
        pytest.param({"parallel_tool_calls": False}, id="no parallel calls of no tools"),
        pytest.param({"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}, id="one call"),
        pytest.param({"stop": "END"}, id="one stop"),
        pytest.param({"reasoning_effort": "high", "temperature": 0}, id="thinking and a temperature"),
        pytest.param({"reasoning_effort": "high", "top_p": 0.5}, id="thinking and a top_p"),
        pytest.param(
            {"reasoning_effort": "high", "tools": [TOOL], "tool_choice": "required"}, id="thinking and a must"
        ),
        pytest.param({"reasoning_effort": "low", "max_tokens": 1000}, id="thinking in little room"),
        pytest.param({"reasoning_effort": "low", "messages": called(), "tools": [TOOL]}, id="thoughts not handed back"),
    ],
)
def test_what_openai_takes_anthropic_takes_too(asked: dict[str, Any]) -> None:
    made(asked)


@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh"])
def test_an_effort_is_a_budget_of_older_models_and_an_effort_of_newer_ones(effort: str) -> None:
    older = made({"reasoning_effort": effort, "max_tokens": 8000})["thinking"]
    assert older["type"] == "enabled"
    assert 1024 <= older["budget_tokens"] < 8000
    newer = made({"reasoning_effort": effort}, NEWER)
    assert newer["thinking"] == {"type": "adaptive"}
    assert newer["output_config"] == {"effort": {"minimal": "low"}.get(effort, effort)}


def test_an_effort_stands_beside_a_schema() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    document = made({"reasoning_effort": "high", "response_format": form}, NEWER)
    assert document["output_config"] == {"format": {"type": "json_schema", "schema": schema}, "effort": "high"}


def test_thoughts_that_are_handed_back_stand_before_the_call() -> None:
    said = [{"type": "thinking", "thinking": "Hm.", "signature": signature("Hm.")}]
    document = made({"messages": called(thinking_blocks=said), "tools": [TOOL], "reasoning_effort": "low"})
    thought, use = document["messages"][1]["content"]
    assert thought == {"type": "thinking", "thinking": "Hm.", "signature": signature("Hm.")}
    assert (use["type"], "thinking" in document) == ("tool_use", True)


def test_thoughts_that_anthropic_has_not_signed_are_left_out() -> None:
    document = made({"messages": [USER, {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."}, USER]})
    assert document["messages"][1] == {"role": "assistant", "content": "Hi"}


def test_messages_of_one_side_after_each_other_are_one_turn() -> None:
    document = made({"messages": [USER, USER, *called()[1:], USER], "tools": [TOOL]})
    assert [turn["role"] for turn in document["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in document["messages"][2]["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png,x"}]}]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [call(arguments="[1]")]}]}, "messages"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": [call(arguments="{")]}]}, "messages"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)  # fmt: skip
def test_what_anthropic_has_nothing_like_is_named(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        from_chat({"messages": [USER], **asked}, OLDER, 4096)
    assert caught.value.field == field
