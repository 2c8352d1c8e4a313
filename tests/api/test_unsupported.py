"""What a vendor has nothing like: it is left out and named, or refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.wire.signatures import sealed
from tests.api.books import Books
from tests.api.dialects import MARK, SAID, ask, chat, post
from tests.fakes.anthropic_vendor import AnthropicVendor
from tests.fakes.gemini_vendor import GeminiVendor
from tests.fakes.ledgers import everything
from tests.fakes.openai_vendor import OpenAIVendor
from tests.fakes.upstream import Upstream


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


@pytest.mark.parametrize(
    "malformed",
    [
        {"tools": [{"type": "function"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "bogus"},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [*SAID, {"role": "tool", "content": "x"}]},
        {"response_format": {"type": "json_schema"}},
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_held_or_sent(
    malformed: dict[str, Any], between: FlaskClient, claude: AnthropicVendor, ledger_file: Path
) -> None:
    assert chat(between, "claude", **malformed).status_code == 400
    assert claude.received == []
    assert everything(ledger_file.parent)["usage"] == []


def test_names_of_fields_are_told_in_a_header_that_can_be_sent(between: FlaskClient) -> None:
    answer = ask(between, "gpt", **{"a\r\nset-cookie: x": 1, "日": 1, "a, b": 1})
    assert (answer.status_code, answer.headers["x-gateway-dropped"]) == (200, "?, a??b, a??set-cookie:?x")
    many = ask(between, "gpt", **{f"field-{number}": 1 for number in range(1000)})
    assert len(many.headers["x-gateway-dropped"]) < 1000


def test_a_conversation_that_another_vendor_stood_in_for_goes_on_with_its_own(
    between: FlaskClient, claude: AnthropicVendor
) -> None:
    sealed_call = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
    thoughts = [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "redacted_thinking", "data": sealed(sealed_call)},
    ]
    turns = [*SAID, {"role": "assistant", "content": [*thoughts, {"type": "text", "text": "Hi"}]}, *SAID]
    assert ask(between, "claude", messages=turns).status_code == 200
    sent = json.loads(claude.received[0].body)["messages"]
    assert sent == [*SAID, {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}, *SAID]


@pytest.mark.parametrize(
    ("model", "cap"),
    [("gpt-5", "max_completion_tokens"), ("gpt-4o-mini", "max_tokens")],
)
def test_a_cap_that_is_enforced_stands_in_the_one_field_that_the_model_obeys(
    model: str, cap: str, between: FlaskClient, openai: OpenAIVendor, upstream: Upstream, ledger_file: Path
) -> None:
    Books(between, upstream, ledger_file).limit("tenant:default", "usd/month", "5")
    for answer in (
        ask(between, f"openai/{model}", max_tokens=90),
        post(between, "/inference", model=f"openai/{model}", prompt="Hello", user_id="ann", max_tokens=90),
    ):
        assert answer.status_code == 200, answer.json
        sent = json.loads(openai.received[-1].body)
        assert {name: value for name, value in sent.items() if name.startswith("max_")} == {cap: 90}
    assert post(between, "/v1/responses", model=f"openai/{model}", input="Hi", max_output_tokens=90).status_code == 200
    assert json.loads(openai.received[-1].body)["max_output_tokens"] == 90


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/responses", {"input": "Hi", "background": True}),
        ("/v1/responses", {"input": "Hi", "previous_response_id": "resp_1"}),
        ("/v1/responses", {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
        ("/v1/responses", {"input": "Hi", "context_management": [{"type": "compaction"}]}),
        ("/v1/responses", {"input": "Hi", "tools": [{"type": "web_search"}]}),
        ("/v1/messages", {"messages": SAID, "context_management": {"edits": [{"type": "compact_20260112"}]}}),
        ("/v1/messages", {"messages": SAID, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("/v1/messages", {"messages": [{**SAID[0], "attach": ["file"]}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "lookup": 1}]}]}),
        ("/v1/messages", {"messages": SAID, "container": "c"}),
        ("/v1/messages", {"messages": SAID, "made_up": 1}),
    ],
)
def test_what_nobody_can_bound_is_refused_under_a_hard_limit(
    path: str, more: dict[str, Any], between: FlaskClient, upstream: Upstream, ledger_file: Path
) -> None:
    Books(between, upstream, ledger_file).limit("tenant:default", "usd/month", "5")
    model, cap = ("gpt", "max_output_tokens") if path == "/v1/responses" else ("claude", "max_tokens")
    answer = post(between, path, model=model, **{cap: 90, **more})
    assert (answer.status_code, "hard limit" in answer.text) == (400, True)


@pytest.mark.parametrize("model", ["gemini", "claude", "gpt"])
def test_what_is_never_sent_of_an_image_makes_no_other_text_cheaper(
    model: str, between: FlaskClient, upstream: Upstream, ledger_file: Path
) -> None:
    Books(between, upstream, ledger_file).limit("tenant:default", "usd/day", "0.05")
    padded = "data:image/png;x=" + "A" * 300_000 + ";base64,AAAA"
    parts = [{"type": "text", "text": "word " * 60_000}, {"type": "image_url", "image_url": {"url": padded}}]
    answer = chat(between, model, messages=[{"role": "user", "content": parts}], max_tokens=50)
    assert answer.status_code == 429


@pytest.mark.parametrize(
    "hidden",
    [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA" + "Zx9" * 70_000},
        {"role": "assistant", "phase": "x" * 210_000, "content": "Hi"},
    ],
)
def test_what_a_response_is_asked_with_beside_its_texts_is_held_too(
    hidden: dict[str, Any], between: FlaskClient, upstream: Upstream, ledger_file: Path
) -> None:
    Books(between, upstream, ledger_file).limit("tenant:default", "usd/day", "0.01")
    items = [*SAID, hidden, *SAID]
    assert post(between, "/v1/responses", model="gpt", input=items, max_output_tokens=50).status_code == 429


def test_thoughts_of_a_chat_are_thoughts_and_nothing_else(between: FlaskClient, claude: AnthropicVendor) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}, "signature": "s"}
    turns = [*SAID, {"role": "assistant", "content": "Hi", "thinking_blocks": [image]}, *SAID]
    assert chat(between, "claude", messages=turns).status_code == 200
    assert "example.test" not in claude.received[0].body.decode()


@pytest.mark.parametrize("model", ["claude", "gemini"])
def test_a_budget_of_thoughts_that_is_no_number_is_refused(
    model: str, between: FlaskClient, upstream: Upstream, ledger_file: Path
) -> None:
    Books(between, upstream, ledger_file).limit("tenant:default", "usd/day", "5")
    for budget in ("5000", None, [1]):
        thinking = {"type": "enabled", "budget_tokens": budget}
        answer = chat(between, model, max_tokens=5000, thinking=thinking)
        assert (answer.status_code, model) == (200 if model == "gemini" and budget is None else 400, model)


def test_a_field_of_a_messages_block_or_turn_is_not_taken_for_a_chats(between: FlaskClient) -> None:
    turns = [{"role": "assistant", "content": "Hi", "tool_calls": 5, "function_call": 5}, *SAID]
    answer = ask(between, "gpt", messages=[*SAID, *turns])
    assert (answer.status_code, answer.headers["x-gateway-dropped"]) == (200, "function_call, tool_calls")
    assert post(between, "/v1/messages/count_tokens", model="gpt", messages=[*SAID, *turns]).status_code == 200
