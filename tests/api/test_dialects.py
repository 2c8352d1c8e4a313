"""Clients of one dialect before vendors of another, and of the same: what passes, what is left out, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import KEY
from tests.fakes import anthropic_vendor, gemini_vendor, openai_vendor
from tests.fakes.anthropic_vendor import AnthropicVendor
from tests.fakes.gemini_vendor import GeminiVendor
from tests.fakes.openai_vendor import OpenAIVendor

MakeApp = Callable[..., Flask]
GOOD = {"x-api-key": KEY}
SAID = [{"role": "user", "content": "Hello"}]
MARK = {"cache_control": {"type": "ephemeral"}}
FILE = """
retry: {{attempts: 1}}
providers:
  claude: {{kind: anthropic, base_url: {claude}, api_key: {claude_key}}}
  gemini: {{kind: gemini, base_url: {gemini}, api_key: {gemini_key}}}
  openai: {{kind: openai, base_url: {openai}, api_key: {openai_key}}}
  chats: {{kind: groq, base_url: {openai}, api_key: {openai_key}}}
models:
  claude: {{targets: [{{provider: claude, model: claude-sonnet-4-5}}], price: {{input: 3, output: 15, cached_input: 0.3,
            cache_write: 3.75, cache_write_1h: 6}}, fallback: [gpt]}}
  gemini: {{targets: [{{provider: gemini, model: gemini-2.5-flash}}]}}
  gpt: {{targets: [{{provider: openai, model: gpt-4o-mini}}]}}
  chats: {{targets: [{{provider: chats, model: gpt-4o-mini}}]}}
  all-or-nothing: {{targets: [{{provider: gemini, model: gemini-2.5-flash}}], on_unsupported: refuse}}
"""


@pytest.fixture
def claude() -> Iterator[AnthropicVendor]:
    with AnthropicVendor(secret=KEY) as vendor:
        yield vendor


@pytest.fixture
def gemini() -> Iterator[GeminiVendor]:
    with GeminiVendor(secret=KEY) as vendor:
        yield vendor


@pytest.fixture
def openai() -> Iterator[OpenAIVendor]:
    with OpenAIVendor(secret=KEY) as vendor:
        yield vendor


@pytest.fixture
def client(
    make_app: MakeApp, claude: AnthropicVendor, gemini: GeminiVendor, openai: OpenAIVendor
) -> Iterator[FlaskClient]:
    file = FILE.format(
        claude=claude.base_url,
        claude_key=anthropic_vendor.PROVIDER_KEY,
        gemini=gemini.base_url,
        gemini_key=gemini_vendor.PROVIDER_KEY,
        openai=openai.base_url,
        openai_key=openai_vendor.PROVIDER_KEY,
    )
    yield make_app(file, MODEL_NAME="gpt", CACHE_TTL="60").test_client()
    assert claude.complaints + gemini.complaints + openai.complaints == []


def post(client: FlaskClient, path: str, headers: dict[str, str] | None = None, **body: Any) -> TestResponse:
    return client.post(path, json=body, headers={**GOOD, "Cache-Control": "no-store", **(headers or {})})


def ask(client: FlaskClient, model: str, **more: Any) -> TestResponse:
    return post(client, "/v1/messages", model=model, **{"max_tokens": 50, "messages": SAID, **more})


def chat(client: FlaskClient, model: str, **more: Any) -> TestResponse:
    return post(client, "/v1/chat/completions", model=model, **{"messages": SAID, **more})


@pytest.mark.parametrize("stream", [False, True])
def test_a_vendor_of_the_clients_dialect_gets_its_bytes_but_for_the_models_name(
    stream: bool, client: FlaskClient, claude: AnthropicVendor
) -> None:
    body = b'{ "max_tokens":50,"stream":%b,\n "model" : "claude","messages":[{"role":"user","content":"\\u00e9"}] }'
    body %= str(stream).lower().encode()
    answer = client.post("/v1/messages", data=body, content_type="application/json", headers=GOOD)
    assert answer.status_code == 200
    (received,) = claude.received
    assert received.body == body.replace(b'"claude"', b'"claude-sonnet-4-5"')


def test_anthropics_own_headers_reach_that_vendor_as_they_came_and_no_other(
    client: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    own = {"anthropic-version": "2023-06-01", "anthropic-beta": "interleaved-thinking-2025-05-14"}
    sent = {"max_tokens": 50, "messages": SAID}
    assert post(client, "/v1/messages", own, model="claude", **sent).status_code == 200
    assert {name: claude.received[0].headers[name] for name in own} == own
    answer = post(client, "/v1/messages", own, model="gpt", **sent)
    assert answer.headers["x-gateway-dropped"] == "anthropic-beta"
    assert not any(name.startswith("anthropic") for name in openai.received[0].headers)


def test_hints_that_a_vendor_has_nothing_like_are_left_out_and_named(client: FlaskClient, openai: OpenAIVendor) -> None:
    answer = ask(
        client,
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


def test_a_field_that_a_vendor_has_nothing_like_is_refused_by_its_name_and_the_vendors(client: FlaskClient) -> None:
    answer = chat(client, "claude", logit_bias={"1": 5})
    told = answer.json["error"]  # type: ignore[index]
    assert (answer.status_code, told["param"], told["code"]) == (400, "logit_bias", "unknown_parameter")
    assert "'claude'" in told["message"]


def test_what_asks_for_nothing_is_not_refused(client: FlaskClient) -> None:
    answer = chat(client, "claude", n=1, logprobs=False, logit_bias=None, frequency_penalty=0, store=False)
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
    path: str, body: dict[str, Any], param: str, client: FlaskClient, gemini: GeminiVendor
) -> None:
    answer = post(client, path, model="gemini", **body)
    told = answer.json["error"]  # type: ignore[index]
    assert (answer.status_code, told["param"]) == (400, param)
    assert "'gemini'" in told["message"]
    assert gemini.received == []


def test_a_model_may_refuse_whatever_would_be_left_out(client: FlaskClient) -> None:
    answer = ask(client, "all-or-nothing", system=[{"type": "text", "text": "Be brief.", **MARK}])
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "cache_control")  # type: ignore[index]
    assert ask(client, "all-or-nothing").status_code == 200


def test_who_stands_in_for_another_vendor_leaves_out_what_it_must_and_says_so(
    client: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    claude.now.status = 529
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    answer = ask(client, "claude", top_k=5, tools=tools)
    assert answer.status_code == 200
    assert answer.headers["x-gateway-model"] == "openai/gpt-4o-mini"
    assert answer.headers["x-gateway-dropped"] == "tools, top_k"
    assert len(openai.received) == 1


def test_who_cannot_stand_in_is_not_asked_and_the_first_failure_is_told(
    client: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    claude.now.status = 529
    found = {"type": "search_result", "title": "x", "source": "s", "content": [{"type": "text", "text": "t"}]}
    answer = ask(client, "claude", messages=[{"role": "user", "content": [found]}])
    assert (answer.status_code, answer.json["error"]["code"]) == (502, "upstream_error")  # type: ignore[index]
    assert openai.received == []


def test_a_vendors_refusal_comes_back_byte_for_byte_in_its_own_dialect(
    client: FlaskClient, claude: AnthropicVendor
) -> None:
    claude.now.status, claude.now.body = (
        400,
        b'{"type":"error",  "error":{"type":"invalid_request_error","message":"no"}}',
    )
    assert ask(client, "claude").data == claude.now.body


def test_a_vendors_refusal_is_put_into_the_clients_dialect_where_that_is_another(
    client: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor, gemini: GeminiVendor
) -> None:
    said = "prompt is too long: 250000 tokens > 200000 maximum"
    claude.now.status = 400
    claude.now.body = json.dumps(
        {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
    ).encode()
    told = chat(client, "claude").json["error"]  # type: ignore[index]
    assert (told["message"], told["code"]) == (said, "context_length_exceeded")
    openai.now.status, openai.now.body = 400, b'{"error": {"message": "no", "type": "x", "param": null, "code": null}}'
    told = ask(client, "gpt").json
    assert told and told["type"] == "error"
    assert told["error"] == {"type": "invalid_request_error", "message": "no", "code": "provider_refused"}


def test_usage_and_cost_tell_what_was_read_from_the_vendors_cache_and_written_to_it(
    client: FlaskClient, claude: AnthropicVendor
) -> None:
    system = [{"type": "text", "text": "Be brief. " * 600, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    first, again = ask(client, "claude", system=system), ask(client, "claude", system=system)
    for answer, rates in ((first, (3_000, 6_000, 300)), (again, (3_000, 6_000, 300))):
        usage = answer.json["usage"]  # type: ignore[index]
        fresh, written, read = rates
        nano = usage["input_tokens"] * fresh + usage["output_tokens"] * 15_000
        nano += usage["cache_creation_input_tokens"] * written + usage["cache_read_input_tokens"] * read
        assert round(float(answer.headers["x-gateway-cost-usd"]) * 10**9) == nano
    assert first.json["usage"]["cache_creation_input_tokens"] > 0  # type: ignore[index]
    assert again.json["usage"]["cache_read_input_tokens"] > 0  # type: ignore[index]


@pytest.mark.parametrize("model", ["claude", "gpt"])
def test_a_kept_answer_is_given_again_whole_or_as_a_stream_in_the_same_dialect(model: str, client: FlaskClient) -> None:
    body = {"model": model, "max_tokens": 50, "messages": SAID}
    bought = client.post("/v1/messages", json=body, headers=GOOD)
    kept = client.post("/v1/messages", json=body, headers=GOOD)
    streamed = client.post("/v1/messages", json={**body, "stream": True}, headers=GOOD)
    assert [answer.headers["x-gateway-cache"] for answer in (bought, kept, streamed)] == ["miss", "hit", "hit"]
    assert kept.data == bought.data
    text = bought.json["content"][0]["text"]  # type: ignore[index]
    told = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert "".join(event["delta"]["text"] for event in told if event["type"] == "content_block_delta") == text


def test_answers_of_two_dialects_are_kept_apart(client: FlaskClient) -> None:
    for path, more in (("/v1/messages", {"max_tokens": 50}), ("/v1/chat/completions", {"max_tokens": 50})):
        answer = client.post(path, json={"model": "gpt", "messages": SAID, **more}, headers=GOOD)
        assert answer.headers["x-gateway-cache"] == "miss"


def test_a_prompt_is_counted_by_its_vendor_and_costs_nothing(client: FlaskClient, claude: AnthropicVendor) -> None:
    counted = post(client, "/v1/messages/count_tokens", model="claude", messages=SAID)
    assert (counted.status_code, counted.json) == (
        200,
        {"input_tokens": ask(client, "claude").json["usage"]["input_tokens"]},
    )  # type: ignore[index]
    assert [received.path for received in claude.received] == ["/v1/messages/count_tokens", "/v1/messages"]


def test_a_prompt_is_estimated_where_its_vendor_does_not_answer_or_has_no_such_question(
    client: FlaskClient, claude: AnthropicVendor
) -> None:
    claude.now.status = 529
    for model in ("claude", "gpt"):
        assert post(client, "/v1/messages/count_tokens", model=model, messages=SAID).json == {"input_tokens": 7}


def test_other_vendors_of_openais_api_are_asked_for_a_chat_where_a_client_wants_a_response(
    client: FlaskClient, openai: OpenAIVendor
) -> None:
    for model in ("gpt", "chats"):
        answer = post(client, "/v1/responses", model=model, input="Hello")
        assert (answer.status_code, answer.json and answer.json["object"]) == (200, "response")
    assert [received.path for received in openai.received] == ["/v1/responses", "/v1/chat/completions"]


def test_a_prompt_reaches_any_vendor_through_inference(client: FlaskClient) -> None:
    for model, target in (("claude", "claude/claude-sonnet-4-5"), ("gemini", "gemini/gemini-2.5-flash")):
        answer = post(client, "/inference", model=model, prompt="Hello", user_id="ann")
        assert (answer.status_code, answer.json and answer.json["model"]) == (200, target)
        assert "Hello" in answer.json["response"]  # type: ignore[index]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_a_vendor_without_an_operation_is_told_by_name(path: str, client: FlaskClient) -> None:
    answer = post(client, path, model="claude", prompt="Hello", input="Hello")
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "model")  # type: ignore[index]
    assert "'claude'" in answer.json["error"]["message"]  # type: ignore[index]
