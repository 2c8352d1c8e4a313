"""Gemini's embeddings for OpenAI's clients, and its count of a prompt for Anthropic's."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.books import Books
from tests.api.dialects import SAID, ask, post
from tests.fakes.gemini_schema import DIMENSIONS
from tests.fakes.gemini_vendor import PROVIDER_KEY, GeminiVendor
from tests.fakes.upstream import Upstream

CLOCK = {"name": "clock", "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}}}
# 150 nano-dollars a token.
FILE = """
retry: {{attempts: 1}}
providers:
  gemini: {{kind: gemini, base_url: {url}, api_key: {key}}}
models:
  gemini: {{targets: [{{provider: gemini, model: gemini-embedding-001}}], price: {{input: 0.15, output: 0}}}}
"""


@pytest.fixture
def priced(make_app: Callable[..., Flask], gemini: GeminiVendor, upstream: Upstream, ledger_file: Path) -> Books:
    app = make_app(FILE.format(url=gemini.base_url, key=PROVIDER_KEY), MODEL_NAME="gemini", CACHE_TTL="0")
    return Books(app.test_client(), upstream, ledger_file)


def embed(client: FlaskClient, **more: Any) -> TestResponse:
    return post(client, "/v1/embeddings", **{"model": "gemini", "input": "Hello", **more})


def count(client: FlaskClient, **more: Any) -> TestResponse:
    return post(client, "/v1/messages/count_tokens", **{"model": "gemini", "messages": SAID, **more})


def vectors(answer: TestResponse) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert [one["index"] for one in answer.json["data"]] == [*range(len(answer.json["data"]))]  # type: ignore[index]
    return [one["embedding"] for one in answer.json["data"]]  # type: ignore[index]


def test_texts_are_embedded_in_numbers_and_in_the_order_they_came(between: FlaskClient, gemini: GeminiVendor) -> None:
    answer = embed(between, input=["Hello", "Wörld 🙂", "Hello"])
    first, second, third = vectors(answer)
    assert (len(first), first) == (DIMENSIONS, third)
    assert first != second
    told = answer.json or {}
    assert (told["object"], told["model"]) == ("list", "gemini-2.5-flash")
    assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"] > 0
    assert [received.path for received in gemini.received] == ["/v1beta/models/gemini-2.5-flash:batchEmbedContents"]


def test_base64_which_openais_sdk_asks_for_holds_the_same_numbers(between: FlaskClient) -> None:
    (plain,), (packed,) = vectors(embed(between)), vectors(embed(between, encoding_format="base64"))
    assert list(struct.unpack(f"<{DIMENSIONS}f", base64.b64decode(packed))) == plain


def test_an_embedding_has_as_many_dimensions_as_are_asked_for(between: FlaskClient) -> None:
    assert [len(vector) for vector in vectors(embed(between, input=["a", "b"], dimensions=5))] == [5, 5]


def test_an_embedding_is_kept_apart_in_each_form_it_is_asked_for(between: FlaskClient) -> None:
    def again(form: str) -> str | None:
        headers = {"Cache-Control": "max-age=60"}
        return embed(between, headers=headers, encoding_format=form).headers["x-gateway-cache"]

    assert [again(form) for form in ("float", "base64", "float", "base64")] == ["miss", "miss", "hit", "hit"]


@pytest.mark.parametrize("tokens", [[9906], [[9906], [1, 2]]], ids=str)
def test_tokens_as_numbers_are_refused_by_the_fields_name(
    tokens: Any, between: FlaskClient, gemini: GeminiVendor
) -> None:
    answer = embed(between, input=tokens)
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "input")  # type: ignore[index]
    assert "'gemini'" in answer.json["error"]["message"]  # type: ignore[index]
    assert gemini.received == []


@pytest.mark.parametrize(("status", "told"), [(400, 400), (429, 502), (503, 502)])
def test_what_the_vendor_says_instead_of_embeddings_is_told_in_openais_form(
    status: int, told: int, between: FlaskClient, gemini: GeminiVendor
) -> None:
    gemini.now.status = status
    answer = embed(between)
    assert (answer.status_code, set(answer.json or ())) == (told, {"error"})


def test_an_embedding_costs_what_the_vendor_reports(priced: Books) -> None:
    answer = embed(priced.client, input=["Hello", "World"])
    tokens = answer.json["usage"]["prompt_tokens"]  # type: ignore[index]
    assert tokens == 2 * len(json.dumps({"parts": [{"text": "Hello"}]})) // 4
    assert answer.headers["x-gateway-cost-usd"] == f"{tokens * 150 / 10**9:.9f}".rstrip("0")
    columns = "prompt_tokens, completion_tokens, cost_nano, usage_source, error_code"
    assert priced.rows(columns) == [(tokens, 0, tokens * 150, "provider", None)]


def test_an_embedding_without_a_report_is_counted(priced: Books, gemini: GeminiVendor) -> None:
    gemini.now.uncounted = True
    answer = embed(priced.client, input=["Hello", "World"])
    assert answer.json["usage"] is None  # type: ignore[index]
    columns = "prompt_tokens, completion_tokens, cost_nano, usage_source, error_code"
    assert priced.rows(columns) == [(2, 0, 300, "counted", None)]


def test_a_prompt_has_as_many_tokens_as_gemini_counts(between: FlaskClient, gemini: GeminiVendor) -> None:
    more = {"system": "Be brief.", "tools": [CLOCK]}
    counted = count(between, **more)
    assert counted.status_code == 200
    assert counted.json == {"input_tokens": len(_sent(gemini)) // 4}
    assert gemini.received[0].path == "/v1beta/models/gemini-2.5-flash:countTokens"
    usage = ask(between, "gemini", **more).json["usage"]  # type: ignore[index]
    assert counted.json["input_tokens"] == usage["input_tokens"] + usage["cache_read_input_tokens"]


def test_to_count_a_prompt_costs_nothing(priced: Books, gemini: GeminiVendor) -> None:
    assert count(priced.client).status_code == 200
    assert (len(gemini.received), priced.rows()) == (1, [])


@pytest.mark.parametrize("status", [429, 503])
def test_a_prompt_is_estimated_where_gemini_does_not_count(
    status: int, between: FlaskClient, gemini: GeminiVendor
) -> None:
    gemini.now.status = status
    assert count(between).json == {"input_tokens": 7}  # of the text 1, the rest is framing
    assert len(gemini.received) == 1


def test_a_prompt_that_gemini_refuses_is_refused(between: FlaskClient, gemini: GeminiVendor) -> None:
    gemini.now.status = 400
    answer = count(between)
    assert (answer.status_code, answer.json and answer.json["type"]) == (400, "error")


def _sent(gemini: GeminiVendor) -> str:
    """What of a prompt the fake counts four characters of as a token."""
    whole = json.loads(gemini.received[0].body)["generateContentRequest"]
    return json.dumps({name: whole.get(name) for name in ("systemInstruction", "contents", "tools")}, sort_keys=True)
