"""Clients of one dialect before vendors of another, and of the same: what passes, what they are told, what it costs."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.api.books import Books, wait_until_settled
from tests.api.dialects import GOOD, SAID, ask, chat, post
from tests.fakes.anthropic_vendor import AnthropicVendor
from tests.fakes.gemini_vendor import GeminiVendor
from tests.fakes.openai_vendor import OpenAIVendor
from tests.fakes.upstream import answers


@pytest.mark.parametrize("stream", [False, True])
def test_a_vendor_of_the_clients_dialect_gets_its_bytes_but_for_the_models_name(
    stream: bool, between: FlaskClient, claude: AnthropicVendor
) -> None:
    body = b'{ "max_tokens":50,"stream":%b,\n "model" : "claude","messages":[{"role":"user","content":"\\u00e9"}] }'
    body %= str(stream).lower().encode()
    answer = between.post("/v1/messages", data=body, content_type="application/json", headers=GOOD)
    assert (answer.status_code, bool(answer.data)) == (200, True)
    (received,) = claude.received
    assert received.body == body.replace(b'"claude"', b'"claude-sonnet-4-5"')


def test_anthropics_own_headers_reach_that_vendor_as_they_came_and_no_other(
    between: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor
) -> None:
    own = {"anthropic-version": "2023-06-01", "anthropic-beta": "interleaved-thinking-2025-05-14"}
    sent = {"max_tokens": 50, "messages": SAID}
    assert post(between, "/v1/messages", own, model="claude", **sent).status_code == 200
    assert {name: claude.received[0].headers[name] for name in own} == own
    answer = post(between, "/v1/messages", own, model="gpt", **sent)
    assert answer.headers["x-gateway-dropped"] == "anthropic-beta"
    assert not any(name.startswith("anthropic") for name in openai.received[0].headers)


def test_a_vendors_refusal_comes_back_byte_for_byte_in_its_own_dialect(
    between: FlaskClient, claude: AnthropicVendor
) -> None:
    claude.now.status, claude.now.body = (
        400,
        b'{"type":"error",  "error":{"type":"invalid_request_error","message":"no"}}',
    )
    assert ask(between, "claude").data == claude.now.body


def test_a_vendors_refusal_is_put_into_the_clients_dialect_where_that_is_another(
    between: FlaskClient, claude: AnthropicVendor, openai: OpenAIVendor, gemini: GeminiVendor
) -> None:
    said = "prompt is too long: 250000 tokens > 200000 maximum"
    claude.now.status = 400
    claude.now.body = json.dumps(
        {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
    ).encode()
    told = chat(between, "claude").json["error"]  # type: ignore[index]
    assert (told["message"], told["code"]) == (said, "context_length_exceeded")
    openai.now.status, openai.now.body = 400, b'{"error": {"message": "no", "type": "x", "param": null, "code": null}}'
    told = ask(between, "gpt").json
    assert told and told["type"] == "error"
    assert told["error"] == {"type": "invalid_request_error", "message": "no", "code": "provider_refused"}


def test_usage_and_cost_tell_what_was_read_from_the_vendors_cache_and_written_to_it(
    between: FlaskClient, claude: AnthropicVendor
) -> None:
    system = [{"type": "text", "text": "Be brief. " * 600, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    first, again = ask(between, "claude", system=system), ask(between, "claude", system=system)
    for answer, rates in ((first, (3_000, 6_000, 300)), (again, (3_000, 6_000, 300))):
        usage = answer.json["usage"]  # type: ignore[index]
        fresh, written, read = rates
        nano = usage["input_tokens"] * fresh + usage["output_tokens"] * 15_000
        nano += usage["cache_creation_input_tokens"] * written + usage["cache_read_input_tokens"] * read
        assert round(float(answer.headers["x-gateway-cost-usd"]) * 10**9) == nano
    assert first.json["usage"]["cache_creation_input_tokens"] > 0  # type: ignore[index]
    assert again.json["usage"]["cache_read_input_tokens"] > 0  # type: ignore[index]


@pytest.mark.parametrize("model", ["claude", "gpt"])
def test_a_kept_answer_is_given_again_whole_or_as_a_stream_in_the_same_dialect(
    model: str, between: FlaskClient
) -> None:
    body = {"model": model, "max_tokens": 50, "messages": SAID}
    bought = between.post("/v1/messages", json=body, headers=GOOD)
    kept = between.post("/v1/messages", json=body, headers=GOOD)
    streamed = between.post("/v1/messages", json={**body, "stream": True}, headers=GOOD)
    assert [answer.headers["x-gateway-cache"] for answer in (bought, kept, streamed)] == ["miss", "hit", "hit"]
    assert kept.data == bought.data
    text = bought.json["content"][0]["text"]  # type: ignore[index]
    told = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert "".join(event["delta"]["text"] for event in told if event["type"] == "content_block_delta") == text


def test_answers_of_two_dialects_are_kept_apart(between: FlaskClient) -> None:
    for path, more in (("/v1/messages", {"max_tokens": 50}), ("/v1/chat/completions", {"max_tokens": 50})):
        answer = between.post(path, json={"model": "gpt", "messages": SAID, **more}, headers=GOOD)
        assert answer.headers["x-gateway-cache"] == "miss"


def test_a_prompt_is_counted_by_its_vendor_and_costs_nothing(between: FlaskClient, claude: AnthropicVendor) -> None:
    counted = post(between, "/v1/messages/count_tokens", model="claude", messages=SAID)
    assert (counted.status_code, counted.json) == (
        200,
        {"input_tokens": ask(between, "claude").json["usage"]["input_tokens"]},
    )  # type: ignore[index]
    assert [received.path for received in claude.received] == ["/v1/messages/count_tokens", "/v1/messages"]


def test_a_prompt_is_estimated_where_its_vendor_does_not_answer_or_has_no_such_question(
    between: FlaskClient, claude: AnthropicVendor
) -> None:
    claude.now.status = 529
    for model in ("claude", "gpt"):
        assert post(between, "/v1/messages/count_tokens", model=model, messages=SAID).json == {"input_tokens": 7}


def test_other_vendors_of_openais_api_are_asked_for_a_chat_where_a_client_wants_a_response(
    between: FlaskClient, openai: OpenAIVendor
) -> None:
    for model in ("gpt", "chats"):
        answer = post(between, "/v1/responses", model=model, input="Hello")
        assert (answer.status_code, answer.json and answer.json["object"]) == (200, "response")
    assert [received.path for received in openai.received] == ["/v1/responses", "/v1/chat/completions"]


def test_a_prompt_reaches_any_vendor_through_inference(between: FlaskClient) -> None:
    for model, target in (("claude", "claude/claude-sonnet-4-5"), ("gemini", "gemini/gemini-2.5-flash")):
        answer = post(between, "/inference", model=model, prompt="Hello", user_id="ann")
        assert (answer.status_code, answer.json and answer.json["model"]) == (200, target)
        assert "Hello" in answer.json["response"]  # type: ignore[index]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings"])
def test_a_vendor_without_an_operation_is_told_by_name(path: str, between: FlaskClient) -> None:
    answer = post(between, path, model="claude", prompt="Hello", input="Hello")
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "model")  # type: ignore[index]
    assert "'claude'" in answer.json["error"]["message"]  # type: ignore[index]


def test_who_asks_for_a_websocket_is_told_to_go_on_without(between: FlaskClient) -> None:
    answer = between.get("/v1/responses", headers={**GOOD, "Connection": "Upgrade", "Upgrade": "websocket"})
    assert (answer.status_code, answer.json["error"]["code"]) == (426, "websockets_unsupported")  # type: ignore[index]
    assert between.get("/v1/responses", headers=GOOD).status_code == 405


def test_errors_of_the_models_are_in_the_dialect_that_asks_for_them(between: FlaskClient) -> None:
    for more, shape in (({}, {"error"}), ({"anthropic-version": "2023-06-01"}, {"type", "error", "request_id"})):
        answer = between.get("/v1/models/nope/nope", headers={**GOOD, **more})
        assert (answer.status_code, set(answer.json or ())) == (404, shape)


def test_a_stream_that_breaks_off_is_settled_with_the_prompt_that_its_vendor_told_of(
    between: FlaskClient, claude: AnthropicVendor, ledger_file: Path
) -> None:
    said = {"model": "claude/claude-haiku-4-5", "messages": SAID, "max_tokens": 50}
    told = post(between, "/v1/messages", **said).json["usage"]["input_tokens"]  # type: ignore[index]
    claude.now.break_after = 4
    with post(between, "/v1/messages", **said, stream=True) as answer:
        assert answer.data.endswith(b"\n\n")
        assert b"event: error" in answer.data
    wait_until_settled(between.application)
    with closing(sqlite3.connect(ledger_file)) as connection:
        rows = connection.execute("SELECT prompt_tokens, usage_source, error_code FROM usage ORDER BY id").fetchall()
    assert rows == [(told, "provider", None), (told, "counted", "upstream_error")]


def test_an_answer_that_its_vendor_goes_on_with_is_written_down_at_its_bound(books: Books) -> None:
    queued = {"id": "resp_1", "object": "response", "status": "queued", "model": "m", "output": [], "usage": None}
    books.upstream.script = answers(queued)
    asked = {"model": "m", "input": "Hello", "background": True, "max_output_tokens": 90}
    answer = books.client.post("/v1/responses", json=asked, headers=GOOD)
    assert (answer.status_code, answer.json) == (200, queued)
    ((completion, source),) = books.rows("completion_tokens, usage_source")
    assert (completion, source) == (90, "bound")
