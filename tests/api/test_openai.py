"""OpenAI's routes, answered by the built-in provider; what the SDKs see stands in tests/service/clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import KEY

MakeApp = Callable[..., Flask]
GOOD = {"x-api-key": KEY}
MESSAGES = [{"role": "user", "content": "Hello"}]


def post(client: FlaskClient, path: str, **body: Any) -> Any:
    answer = client.post(f"/v1/{path}", json=body, headers=GOOD)
    assert answer.status_code == 200, answer.json
    return answer.json


def test_a_chat_is_answered_in_openais_shape(client: FlaskClient) -> None:
    answer = post(client, "chat/completions", messages=MESSAGES)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}


def test_a_text_is_completed(client: FlaskClient) -> None:
    answer = post(client, "completions", prompt="Hello")
    assert (answer["object"], answer["choices"][0]["text"]) == ("text_completion", "Hello")


def test_texts_are_embedded(client: FlaskClient) -> None:
    answer = post(client, "embeddings", input=["a", "b"], dimensions=8)
    assert [len(entry["embedding"]) for entry in answer["data"]] == [8, 8]
    assert answer["usage"]["prompt_tokens"] == 2


@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings"])
def test_a_wrong_field_is_400_here(path: str, client: FlaskClient) -> None:
    answer = client.post(f"/v1/{path}", json={"model": 7}, headers=GOOD)
    assert (answer.status_code, answer.json and answer.json["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("path", ["chat/completions", "completions", "embeddings", "models", "models/x"])
def test_a_key_is_needed(path: str, client: FlaskClient) -> None:
    method = "GET" if path.startswith("models") else "POST"
    assert client.open(f"/v1/{path}", method=method).status_code == 401


def test_the_models_are_those_of_the_file_the_default_and_the_built_in_one(make_app: MakeApp) -> None:
    yaml = """
providers: {local: {kind: ollama}, offline: {kind: offline}}
models:
  fast: {targets: [{provider: local, model: tiny}]}
  smart: {targets: [{provider: offline, model: echo}]}
"""
    client = make_app(yaml, MODEL_NAME="local/big").test_client()
    listed = client.get("/v1/models", headers=GOOD).json
    assert listed
    assert [model["id"] for model in listed["data"]] == ["fast", "smart", "local/big", "offline/echo"]
    assert {model["object"] for model in listed["data"]} == {"model"}


@pytest.mark.parametrize("name", ["offline/echo", "offline/echo?tokens=5"])
def test_a_model_that_would_answer_can_be_looked_up_and_no_other(name: str, client: FlaskClient) -> None:
    found = client.get(f"/v1/models/{name.replace('?', '%3F')}", headers=GOOD)
    assert (found.status_code, found.json and found.json["id"]) == (200, name)
    missing = client.get("/v1/models/nobody/has-it", headers=GOOD)
    assert (missing.status_code, missing.json and missing.json["error"]["code"]) == (404, "model_not_found")


def test_the_user_is_who_it_is_for_in_either_dialect(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    post(client, "chat/completions", messages=MESSAGES, user="alice")
    assert [vars(record)["fields"]["user_id"] for record in caplog.records if record.name == "gateway.request"] == [
        "alice"
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"n": 3},
        {"max_completion_tokens": 1},
    ],
)  # fmt: skip
def test_what_is_cached_is_given_again_byte_for_byte(body: dict[str, Any], make_app: MakeApp) -> None:
    client = make_app(CACHE_TTL="60").test_client()
    asked = {"messages": [{"role": "user", "content": "two words"}], **body}
    first, second = (client.post("/v1/chat/completions", json=asked, headers=GOOD) for _ in range(2))
    assert (first.headers["x-gateway-cache"], second.headers["x-gateway-cache"]) == ("miss", "hit")
    assert first.data == second.data
