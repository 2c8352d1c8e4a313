"""What a vendor has nothing like: it is left out and named, or refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.dialects import MARK, SAID, ask, chat, post
from tests.fakes.anthropic_vendor import AnthropicVendor
from tests.fakes.gemini_vendor import GeminiVendor
from tests.fakes.openai_vendor import OpenAIVendor


def test_hints_that_a_vendor_has_nothing_like_are_left_out_and_named(
    between: FlaskClient, openai: OpenAIVendor
) -> None:
    answer = ask(
        between,
        "gpt",
        system=[{"type": "text", "text": "Be brief.", **MARK}],
        thinking={"type": "enabled", "budget_tokens": 1024},
        max_tokens=2048,
        context_management={"edits": []},
        output_config={"effort": "low"},
        made_up=True,
    )
    assert answer.status_code == 200
    assert answer.headers["x-gateway-dropped"] == "cache_control, context_management, made_up, output_config, thinking"
    (received,) = openai.received
    assert "cache_control" not in received.body.decode()


def test_a_field_that_a_vendor_has_nothing_like_is_refused_by_its_name_and_the_vendors(between: FlaskClient) -> None:
    answer = chat(between, "claude", logit_bias={"1": 5})
    told = answer.json["error"]  # type: ignore[index]
    assert (answer.status_code, told["param"], told["code"]) == (400, "logit_bias", "unknown_parameter")
    assert "'claude'" in told["message"]


def test_what_asks_for_nothing_is_not_refused(between: FlaskClient) -> None:
    answer = chat(between, "claude", n=1, logprobs=False, logit_bias=None, frequency_penalty=0, store=False)
    assert answer.status_code == 200
    assert "x-gateway-dropped" not in answer.headers


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "messages"),
        ("/v1/messages", {"max_tokens": 9, "messages": SAID, "tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools"),
        ("/v1/responses", {"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ("/v1/responses", {"input": "Hello", "tools": [{"type": "web_search"}]}, "tools"),
        ("/v1/responses", {"input": "Hello", "previous_response_id": "resp_1"}, "previous_response_id"),
        ("/v1/responses", {"input": "Hello", "store": True}, "store"),
        ("/v1/responses", {"input": "Hello", "background": True}, "background"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "messages"),
        ("/v1/chat/completions", {"messages": SAID, "tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_translated_is_refused_under_the_clients_own_name(
    path: str, body: dict[str, Any], param: str, between: FlaskClient, gemini: GeminiVendor
) -> None:
    answer = post(between, path, model="gemini", **body)
    told = answer.json["error"]  # type: ignore[index]
    assert (answer.status_code, told["param"]) == (400, param)
    assert "'gemini'" in told["message"]
    assert gemini.received == []


def test_a_model_may_refuse_whatever_would_be_left_out(between: FlaskClient) -> None:
    answer = ask(between, "all-or-nothing", system=[{"type": "text", "text": "Be brief.", **MARK}])
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "cache_control")  # type: ignore[index]
    assert ask(between, "all-or-nothing").status_code == 200


def test_who_stands_in_for_another_vendor_leaves_out_what_it_must_and_says_so(
    between: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    claude.now.status = 529
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    answer = ask(between, "claude", top_k=5, tools=tools)
    assert answer.status_code == 200
    assert answer.headers["x-gateway-model"] == "openai/gpt-4o-mini"
    assert answer.headers["x-gateway-dropped"] == "tools, top_k"
    assert len(openai.received) == 1


def test_who_cannot_stand_in_is_not_asked_and_the_first_failure_is_told(
    between: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    claude.now.status = 529
    found = {"type": "search_result", "title": "x", "source": "s", "content": [{"type": "text", "text": "t"}]}
    answer = ask(between, "claude", messages=[{"role": "user", "content": [found]}])
    assert (answer.status_code, answer.json["error"]["code"]) == (502, "upstream_error")  # type: ignore[index]
    assert openai.received == []


def test_a_field_of_another_dialect_is_not_taken_for_that(between: FlaskClient, claude: AnthropicVendor) -> None:
    claude.now.allow = frozenset({"n", "max_completion_tokens"})
    assert ask(between, "claude", n=100, max_completion_tokens=1).status_code == 200
    answer = ask(between, "gpt", n=100, max_completion_tokens=1)
    assert (answer.status_code, answer.headers["x-gateway-dropped"]) == (200, "max_completion_tokens, n")
