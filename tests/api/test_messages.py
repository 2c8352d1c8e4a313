"""Anthropic's routes, answered by the built-in provider; what the SDKs see stands in tests/service/clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import KEY

MakeApp = Callable[..., Flask]
GOOD = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
ASKED: dict[str, Any] = {
    "model": "offline/echo",
    "max_tokens": 50,
    "messages": [{"role": "user", "content": "two words"}],
}
CLOCK = {"name": "clock", "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}}}


def post(client: FlaskClient, path: str = "messages", **more: Any) -> Any:
    answer = client.post(f"/v1/{path}", json={**ASKED, **more}, headers=GOOD)
    assert answer.status_code == 200, answer.json
    return answer.json


def refused(client: FlaskClient, body: Any, path: str = "messages", **headers: str) -> tuple[int, Any]:
    """The status and the error of an answer that must be Anthropic's in every detail."""
    answer = client.post(f"/v1/{path}", json=body, headers={**GOOD, **headers})
    told = answer.json
    assert told
    assert set(told) == {"type", "error", "request_id"}
    assert told["type"] == "error"
    assert told["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    assert answer.content_type == "application/json"
    return answer.status_code, told["error"]


def events(client: FlaskClient, **more: Any) -> list[Any]:
    """The events of a stream; the name of each must be the type of its data."""
    answer = client.post("/v1/messages", json={**ASKED, "stream": True, **more}, headers=GOOD)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    found = []
    for event in answer.text.removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def test_a_message_has_anthropics_shape(client: FlaskClient) -> None:
    told = post(client)
    assert told.pop("id")
    assert told == {
        "type": "message",
        "role": "assistant",
        "model": "offline/echo",
        "content": [{"type": "text", "text": "two words"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": told["usage"],
    }
    usage = told["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (8, 2)
    assert (usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) == (0, 0)


def test_an_answer_says_what_became_of_the_request(client: FlaskClient) -> None:
    headers = client.post("/v1/messages", json=ASKED, headers=GOOD).headers
    assert headers["request-id"] == headers["x-request-id"]
    assert headers["x-gateway-model"] == "offline/echo"
    assert headers["x-gateway-cost-usd"] == "0"


def test_the_id_that_a_client_gives_is_the_requests(client: FlaskClient) -> None:
    headers = {**GOOD, "x-request-id": "mine-1"}
    answer = client.post("/v1/messages", json=ASKED, headers=headers)
    assert (answer.headers["request-id"], answer.headers["x-request-id"]) == ("mine-1", "mine-1")


def test_a_tool_is_called_and_its_result_taken(client: FlaskClient) -> None:
    first = post(client, tools=[CLOCK], tool_choice={"type": "any"})
    (call,) = [block for block in first["content"] if block["type"] == "tool_use"]
    assert (call["name"], first["stop_reason"]) == ("clock", "tool_use")
    assert isinstance(call["input"]["zone"], str)
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "noon"}
    turns = [*ASKED["messages"], {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    second = post(client, tools=[CLOCK], messages=turns)
    assert (second["content"][0]["type"], second["stop_reason"]) == ("text", "end_turn")


def test_an_answer_ends_at_its_cap(client: FlaskClient) -> None:
    told = post(client, max_tokens=1)
    assert (told["stop_reason"], told["usage"]["output_tokens"]) == ("max_tokens", 1)


def test_a_stream_has_anthropics_events_in_their_order(client: FlaskClient) -> None:
    begun, opened, *deltas, closed, delta, stop = events(client)
    assert (begun["type"], begun["message"]["content"], begun["message"]["stop_reason"]) == ("message_start", [], None)
    assert opened == {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    assert {(event["type"], event["index"], event["delta"]["type"]) for event in deltas} == {
        ("content_block_delta", 0, "text_delta")
    }
    assert "".join(event["delta"]["text"] for event in deltas) == "two words"
    assert closed == {"type": "content_block_stop", "index": 0}
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    whole = post(client)["usage"]
    assert {name: delta["usage"][name] for name in whole} == whole
    assert stop == {"type": "message_stop"}


def test_a_stream_calls_tools_in_blocks_of_their_own(client: FlaskClient) -> None:
    told = events(client, tools=[CLOCK], tool_choice={"type": "tool", "name": "clock"})
    (opened,) = [event for event in told if event["type"] == "content_block_start"]
    assert opened["content_block"] == {
        "type": "tool_use", "id": opened["content_block"]["id"], "name": "clock", "input": {},
    }  # fmt: skip
    given = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert {delta["type"] for delta in given} == {"input_json_delta"}
    assert isinstance(json.loads("".join(delta["partial_json"] for delta in given))["zone"], str)
    assert told[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"model": 7}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": 1}]}]}, "messages[0].content[0].source"),
        ({"system": 5}, "system"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"thinking": True}, "thinking"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id"),
        ({"api_base": "http://127.0.0.1:9"}, "api_base"),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_field_is_named_in_anthropics_error(wrong: dict[str, Any], field: str, client: FlaskClient) -> None:
    status, error = refused(client, {**ASKED, **wrong})
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", field)
    assert field in error["message"]


@pytest.mark.parametrize("field", ["model", "messages", "system", "tools", "tool_choice", "thinking"])
def test_a_wrong_field_of_a_count_is_named_as_well(field: str, client: FlaskClient) -> None:
    status, error = refused(client, {**ASKED, field: 5}, "messages/count_tokens")
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", field)


@pytest.mark.parametrize("field", ["max_tokens", "messages"])
def test_what_a_message_needs_is_asked_for(field: str, client: FlaskClient) -> None:
    status, error = refused(client, {name: value for name, value in ASKED.items() if name != field})
    assert (status, error["param"]) == (400, field)


def test_without_a_model_the_default_one_answers(client: FlaskClient) -> None:
    answer = client.post("/v1/messages", json={**ASKED, "model": None}, headers=GOOD)
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, "offline/echo")


@pytest.mark.parametrize("path", ["messages", "messages/count_tokens"])
@pytest.mark.parametrize("shown", [{"x-api-key": ""}, {"x-api-key": "wrong"}, {"x-api-key": KEY + "x"}])
def test_a_key_is_needed(path: str, shown: dict[str, str], client: FlaskClient) -> None:
    status, error = refused(client, ASKED, path, **shown)
    assert (status, error["type"]) == (401, "authentication_error")


def test_a_key_is_taken_from_either_header(client: FlaskClient) -> None:
    headers = {"authorization": f"Bearer {KEY}", "anthropic-version": "2026-10-21"}
    assert client.post("/v1/messages", json=ASKED, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["messages", "messages/count_tokens"])
def test_an_unknown_model_is_not_found(path: str, client: FlaskClient) -> None:
    status, error = refused(client, {**ASKED, "model": "nobody/has-it"}, path)
    assert (status, error["type"], error["code"]) == (404, "not_found_error", "model_not_found")


def test_a_body_that_is_no_json_is_refused_in_anthropics_words(client: FlaskClient) -> None:
    for body, kind, status in ((b"{", "application/json", 400), (b"a=b", "text/plain", 415)):
        answer = client.post("/v1/messages", data=body, headers={**GOOD, "content-type": kind})
        assert answer.status_code == status
        assert answer.json
        assert answer.json["error"]["type"] == "invalid_request_error"
    answer = client.get("/v1/messages", headers=GOOD)
    assert (answer.status_code, answer.json and answer.json["type"]) == (405, "error")


def test_a_body_that_is_too_large_is_refused_in_anthropics_words(make_app: MakeApp) -> None:
    client = make_app(MAX_BODY_BYTES="1024").test_client()
    status, error = refused(client, {**ASKED, "system": "x" * 1024})
    assert (status, error["type"]) == (413, "request_too_large")


def test_tokens_are_counted_before_anything_is_bought(client: FlaskClient) -> None:
    asked = {name: value for name, value in ASKED.items() if name != "max_tokens"}
    answer = client.post("/v1/messages/count_tokens", json=asked, headers=GOOD)
    assert (answer.status_code, answer.json) == (200, {"input_tokens": post(client)["usage"]["input_tokens"]})
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    longer = client.post("/v1/messages/count_tokens", json={**asked, "system": "Be brief."}, headers=GOOD)
    assert longer.json
    assert answer.json
    assert longer.json["input_tokens"] > answer.json["input_tokens"]


def test_models_are_listed_as_the_client_knows_them(make_app: MakeApp) -> None:
    yaml = "models: {fast: {targets: [{provider: offline, model: echo}]}}"
    client = make_app(yaml, MODEL_NAME="fast").test_client()
    openais = client.get("/v1/models", headers={"x-api-key": KEY}).json
    listed = client.get("/v1/models", headers=GOOD).json
    assert openais
    assert listed
    names = [model["id"] for model in openais["data"]]
    assert [model["id"] for model in listed["data"]] == names
    assert {name: listed[name] for name in ("has_more", "first_id", "last_id")} == {
        "has_more": False, "first_id": names[0], "last_id": names[-1],
    }  # fmt: skip
    for model in listed["data"]:
        assert set(model) >= {"type", "id", "display_name", "created_at"}
        assert model["type"] == "model"
    one = client.get("/v1/models/fast", headers=GOOD)
    assert (one.status_code, one.json) == (200, listed["data"][0])


def test_the_user_of_the_metadata_is_who_it_is_for(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    post(client, metadata={"user_id": "alice"})
    assert [vars(record)["fields"]["user_id"] for record in caplog.records if record.name == "gateway.request"] == [
        "alice"
    ]


def test_what_is_cached_is_given_again_byte_for_byte(make_app: MakeApp) -> None:
    client = make_app(CACHE_TTL="60").test_client()
    first, second = (client.post("/v1/messages", json=ASKED, headers=GOOD) for _ in range(2))
    assert (first.headers["x-gateway-cache"], second.headers["x-gateway-cache"]) == ("miss", "hit")
    assert first.data == second.data
