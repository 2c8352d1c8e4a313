"""Who stands in for a provider that does not answer leaves out what it can, and is not asked where it cannot; what one
provider has handed out does not keep another one from going on."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.dialects import SAID, ask, chat
from tests.fakes.anthropic_vendor import AnthropicVendor
from tests.fakes.openai_vendor import OpenAIVendor

SEARCH = {"type": "web_search_20250305", "name": "web_search"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


def test_it_does_so_too_once_the_other_one_is_left_alone(
    between: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    claude.now.status = 529
    for _ in range(12):
        answer = ask(between, "claude", tools=[SEARCH])
        assert (answer.status_code, answer.headers["x-gateway-dropped"]) == (200, "tools")
    assert len(claude.received) < len(openai.received) == 12


def test_where_it_cannot_nobody_is_blamed_but_the_one_that_does_not_answer(
    between: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    claude.now.status = 529
    found = {"type": "search_result", "title": "x", "source": "s", "content": [{"type": "text", "text": "t"}]}
    statuses = {ask(between, "claude", messages=[{"role": "user", "content": [found]}]).status_code for _ in range(12)}
    assert statuses == {502, 503}
    assert openai.received == []


@pytest.mark.parametrize(
    "thoughts",
    [
        {"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "sig"}]},
        {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "sig"}, {"type": "text", "text": "Hi"}]},
    ],
)
def test_thoughts_of_another_model_are_no_hint_that_may_not_be_left_out(
    thoughts: dict[str, Any], between: FlaskClient
) -> None:
    turns = [*SAID, {"role": "assistant", "content": "Hi", **thoughts}, *SAID]
    answer = chat(between, "all-or-nothing", messages=turns)
    assert (answer.status_code, answer.headers["x-gateway-dropped"]) == (200, "thoughts")


def test_all_that_a_model_may_not_leave_out_is_named_at_once(between: FlaskClient) -> None:
    answer = chat(between, "all-or-nothing", verbosity="low", metadata={"a": "b"}, prompt_cache_key="k")
    assert answer.status_code == 400
    message = answer.json["error"]["message"]  # type: ignore[index]
    assert all(name in message for name in ("'metadata'", "'prompt_cache_key'", "'verbosity'", "leaves nothing out"))


@pytest.mark.parametrize(
    ("more", "dropped"),
    [
        ({"max_completion_tokens": 5000}, None),
        ({"max_completion_tokens": 100}, "reasoning_effort"),
        ({"temperature": 0}, "reasoning_effort"),
        (
            {
                "tools": [TOOL],
                "messages": [
                    *SAID,
                    {"role": "assistant", "content": None, "tool_calls": [CALL]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "x"},
                ],
            },
            "reasoning_effort",
        ),
    ],
)
def test_an_effort_that_the_rest_does_not_allow_of_is_named(
    more: dict[str, Any], dropped: str | None, between: FlaskClient
) -> None:
    answer = chat(between, "claude", reasoning_effort="high", **more)
    assert (answer.status_code, answer.headers.get("x-gateway-dropped")) == (200, dropped)
