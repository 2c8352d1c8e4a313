"""The built-in provider's calls of tools: where the request insists, and where its user says so."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.unit.providers.offline_calls import asking, body, complete, message, refusal, saying

WEATHER = {
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "minLength": 1}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city", "days"],
    },
}
TOOLS = [{"type": "function", "function": WEATHER}, {"type": "function", "function": {"name": "stop"}}]
CUSTOM = {"type": "custom", "custom": {"name": "shell"}}
LEAST = {"city": "x", "days": 1}


def call_of(prompt: str, **asked: Any) -> tuple[str, Any]:
    [call] = message(saying(prompt, **asked))["tool_calls"]
    assert call["type"] == "function"
    return call["function"]["name"], orjson.loads(call["function"]["arguments"])


def test_a_call_has_the_shape_of_openais() -> None:
    found = body(saying("Hello", tools=TOOLS, tool_choice="required", n=2))
    assert [choice["finish_reason"] for choice in found["choices"]] == ["tool_calls", "tool_calls"]
    for choice in found["choices"]:
        assert choice["message"].keys() == {"role", "content", "refusal", "tool_calls"}
        assert choice["message"]["content"] is None
    ids = {choice["message"]["tool_calls"][0]["id"] for choice in found["choices"]}
    assert len(ids) == 2
    assert found["usage"]["completion_tokens"] > 2


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ("required", ("weather", LEAST)),
        ({"type": "function", "function": {"name": "weather"}}, ("weather", LEAST)),
        ({"type": "function", "function": {"name": "stop"}}, ("stop", {})),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOLS[1]]}},
            ("stop", {}),
        ),
    ],
)
def test_a_tool_is_called_where_the_request_insists(choice: Any, found: object) -> None:
    assert call_of("Hello", tools=TOOLS, tool_choice=choice) == found
    assert call_of("call stop", tools=TOOLS, tool_choice=choice) == found


@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": None}])
def test_a_user_may_say_which_tool_to_call(choice: Any) -> None:
    assert call_of("call weather", tools=TOOLS, **choice) == ("weather", LEAST)
    assert call_of(' call weather\n{"city": "Rome",\n"days": 2} ', tools=TOOLS, **choice) == (
        "weather",
        {"city": "Rome", "days": 2},
    )


def test_arguments_come_as_they_are_given() -> None:
    [call] = message(saying('call stop { "b":1,  "a":2 }', tools=TOOLS))["tool_calls"]
    assert call["function"]["arguments"] == '{ "b":1,  "a":2 }'


@pytest.mark.parametrize(
    "prompt",
    ["Hello", "call", "call nobody", "Call weather", "call weather now", "call weather [1]", "please call weather"],
)
def test_all_else_is_repeated(prompt: str) -> None:
    assert message(saying(prompt, tools=TOOLS)) == {"role": "assistant", "content": prompt, "refusal": None}


def test_no_tool_is_called_where_the_request_forbids_it_or_has_none() -> None:
    assert message(saying("call weather", tools=TOOLS, tool_choice="none"))["content"] == "call weather"
    assert message(saying("call weather"))["content"] == "call weather"


def test_what_a_tool_brought_is_the_answer() -> None:
    call = message(saying("call weather", tools=TOOLS))
    talk = [{"role": "user", "content": "call weather"}, call]
    result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "call weather"}
    answer = complete(asking("chat", {"messages": [*talk, result], "tools": TOOLS}))
    assert (answer.text, answer.finish_reasons) == ("call weather", ("stop",))


def test_a_custom_tool_takes_any_text() -> None:
    for asked, given in (("call shell ls -l", "ls -l"), ("call shell", "")):
        [call] = message(saying(asked, tools=[CUSTOM]))["tool_calls"]
        assert (call["type"], call["custom"]) == ("custom", {"name": "shell", "input": given})


@pytest.mark.parametrize("choice", [{"function_call": {"name": "weather"}}, {"function_call": "auto"}, {}])
def test_functions_are_called_in_the_way_that_came_before_tools(choice: Any) -> None:
    found = body(saying("call weather", functions=[WEATHER], **choice))["choices"][0]
    assert found["finish_reason"] == "function_call"
    assert "tool_calls" not in found["message"]
    assert found["message"]["function_call"]["name"] == "weather"
    assert orjson.loads(found["message"]["function_call"]["arguments"]) == LEAST


def test_arguments_are_cut_as_any_text_is() -> None:
    found = body(saying('call stop {"a": "one two three four five six"}', tools=TOOLS, max_tokens=6))["choices"][0]
    assert found["finish_reason"] == "length"
    assert found["message"]["tool_calls"][0]["function"]["arguments"] == '{"a": "one two'


@pytest.mark.parametrize(
    "asked",
    [
        {"tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "nobody"}}},
        {"tools": TOOLS, "tool_choice": {"type": "function"}},
        {"tools": [{"type": "function"}]},
        {"tools": "weather"},
        {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"required": ["a"], "properties": {"a": False}}}}],
         "tool_choice": "required"},
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_made_is_refused(asked: Any) -> None:
    refusal(saying("Hello", **asked))
