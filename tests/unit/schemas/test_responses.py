"""What a request for a response may hold, what becomes of it, and how its answer is written."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import orjson
import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from jsonschema import Draft202012Validator
from openai.types.responses import Response, ResponseErrorEvent
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from gateway.errors import GatewayError, InvalidField, ProviderRefused
from gateway.model import Answer, Completion, ModelRequest, Target, Usage
from gateway.schemas.openai import BEARS_ON, left_out
from gateway.schemas.responses import ResponsesSchema, read_responses
from gateway.schemas.responses_answers import ResponseSchema
from gateway.schemas.responses_stream import StreamWriter, write
from gateway.wire import sse
from gateway.wire.responses_answers import from_chat
from tests.fakes import openai_answers
from tests.fakes import responses_answers as fake

SCHEMA = ResponsesSchema()
HINTS = get_type_hints(ResponseCreateParamsBase)
CHAT = openai_answers.answer("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, 1)


def read(**fields: Any) -> ModelRequest:
    document = {"input": "Hi"} | fields
    return read_responses(document, orjson.dumps(document))


def described(schema: Any) -> Draft202012Validator:
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("It", schema=schema)
    return Draft202012Validator({"$ref": "#/components/schemas/It", "components": spec.to_dict()["components"]})


def test_every_field_that_the_sdk_can_send_is_known_and_says_what_it_bears_on() -> None:
    assert set(SCHEMA.fields) == set(HINTS) | {"stream"}
    for name, field in SCHEMA.fields.items():
        assert set(field.metadata[BEARS_ON]) <= {"cost", "answer"}, name


def test_null_is_taken_for_absent() -> None:
    assert {name for name, type_ in HINTS.items() if type(None) in get_args(type_)} <= set(SCHEMA.fields)
    request = read(**dict.fromkeys(set(SCHEMA.fields) - {"input"}))
    assert request == read_responses(json.loads(request.body or b""), request.body or b"")
    assert (request.asked, request.user_id, request.stream) == (read().asked, None, False)


@pytest.mark.parametrize("schema", [ResponsesSchema, ResponseSchema])
def test_each_example_is_sound_and_as_described(schema: Any) -> None:
    described(schema).validate(schema.example)
    assert schema().validate(schema.example) == {}


def test_answers_are_described_as_the_sdk_reads_them() -> None:
    Response.model_validate(ResponseSchema.example)
    assert set(ResponseSchema().fields) <= set(Response.model_fields)
    for body in ({"model": "gpt-5", "input": "Hi"}, {"model": "gpt-4o", "input": "Hi", "max_output_tokens": 1}):
        described(ResponseSchema).validate(fake.answer(body, 1))
    described(ResponseSchema).validate(from_chat(CHAT, {}, Usage(1, 1)))


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": 1}, "input", "invalid_type"),
        ({"input": ["Hi"]}, "input[0]", "invalid_type"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": 1}]}, "input[0].content", "invalid_type"),
        ({"input": [{"role": "nobody", "content": "Hi"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"type": "message", "content": "Hi"}]}, "input[0].role", "missing_required_parameter"),
        ({"input": [{"type": 1}]}, "input[0].type", "invalid_type"),
        ({"input": [{"role": "user", "content": [1]}]}, "input[0].content[0]", "invalid_type"),
        ({"input": [{"role": "user", "content": [{}]}]}, "input[0].content[0].type", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": {}}]}]}, "input[0].content[0].image_url", "invalid_type"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}, "input[0].arguments", "missing_required_parameter"),
        ({"input": [{"type": "custom_tool_call", "call_id": "a", "name": "f", "input": {}}]}, "input[0].input", "invalid_type"),
        ({"input": [{"type": "function_call_output", "call_id": "a"}]}, "input[0].output", "missing_required_parameter"),
        ({"input": [{"type": "function_call_output", "output": "a"}]}, "input[0].call_id", "missing_required_parameter"),
        ({"input": [{"type": "reasoning", "summary": [{"type": "summary_text"}]}]}, "input[0].summary[0].text", "missing_required_parameter"),
        ({"input": [{"type": "reasoning", "summary": "a"}]}, "input[0].summary", "invalid_type"),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": 1}]}, "input[0].encrypted_content", "invalid_type"),
        ({"input": [{"role": "user", "content": "a"}] * 10_001}, "input", "invalid_value"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tool_choice": {}}, "tool_choice.type", "missing_required_parameter"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools", "invalid_type"),
        ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "custom"}]}}, "tool_choice.tools[0].name", "missing_required_parameter"),
        ({"tool_choice": 1}, "tool_choice", "invalid_type"),
        ({"text": []}, "text", "invalid_type"),
        ({"text": {"format": {}}}, "text.format.type", "missing_required_parameter"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema", "missing_required_parameter"),
        ({"text": {"verbosity": 1}}, "text.verbosity", "invalid_type"),
        ({"reasoning": "low"}, "reasoning", "invalid_type"),
        ({"reasoning": {"effort": 1}}, "reasoning.effort", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"stream_options": {}}, "stream_options", "invalid_value"),
        ({"api_key": "x"}, "api_key", "unknown_parameter"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_its_path(fields: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read(**fields)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_field_that_nobody_knows_is_asked_too_and_named() -> None:
    request = read(client_metadata={"a": "b"})
    assert (request.unknown, request.asked["client_metadata"]) == (("client_metadata",), {"a": "b"})


@pytest.mark.parametrize("name", ["prompt", "previous_response_id", "conversation"])
def test_what_openai_keeps_may_stand_for_the_input(name: str) -> None:
    given = {"id": "x"} if name == "prompt" else "x"
    assert read(input=None, **{name: given}).asked == {"messages": [], name: given}


@pytest.mark.parametrize(
    ("fields", "user", "conversation"),
    [
        ({}, None, None),
        ({"user": "u", "safety_identifier": "s"}, "u", None),
        ({"safety_identifier": "s", "prompt_cache_key": "k", "conversation": "c"}, "s", "k"),
        ({"conversation": "c"}, None, "c"),
        ({"conversation": {"id": "c"}}, None, "c"),
        ({"conversation": {}}, None, None),
    ],
)
def test_who_it_is_for_and_which_conversation_it_is_part_of(
    fields: dict[str, Any], user: str | None, conversation: str | None
) -> None:
    request = read(**fields)
    assert (request.user_id, request.conversation) == (user, conversation)


def test_what_does_not_bear_on_the_answer_is_not_asked_and_what_only_helps_is_a_hint() -> None:
    fields = {"model": "m", "user": "u", "safety_identifier": "s", "stream": True, "stream_options": {},
              "prompt_cache_key": "k", "prompt_cache_options": {}, "prompt_cache_retention": "24h"}  # fmt: skip
    assert left_out(SCHEMA) == set(fields)
    request = read(**fields)
    assert request.asked == read().asked
    assert request.hints == (
        "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier"
    )  # fmt: skip
    assert (request.model, request.stream, request.dialect, request.operation) == ("m", True, "responses", "chat")


def test_the_cap_of_the_answer_is_known() -> None:
    assert read(max_output_tokens=7).caps == {"max_completion_tokens": 7}


def answered(body: Any, dialect: Any) -> Answer:
    return Answer(Completion(orjson.dumps(body), dialect=dialect), Usage(1, 1), None, Target("up", "m"))


def test_a_vendors_own_response_is_written_as_it_came_and_a_chat_as_one() -> None:
    request = read(instructions="Be brief.")
    assert write(answered({"id": "resp_1"}, "responses"), request) == b'{"id":"resp_1"}'
    made = json.loads(write(answered(CHAT, "openai"), request))
    assert made == from_chat(CHAT, {"instructions": "Be brief."}, Usage(1, 1))
    assert made["instructions"] == "Be brief."


def parsed(stream: bytes) -> list[dict[str, Any]]:
    """The events, each under its own name."""
    events = []
    for event in sse.events(stream):
        name, data = event.decode().split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def test_a_stream_of_chunks_is_written_as_events_that_end_with_the_whole_response() -> None:
    request, path = read(stream=True), "/v1/chat/completions"
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream_options": {"include_usage": True}}
    *data, _ = openai_answers.events(path, body, 1)
    writer, answer = StreamWriter(request), answered(CHAT, "openai")
    told = b"".join(writer.events(sse.event(one.encode()), "openai") for one in data) + writer.end(answer)
    events = parsed(told)
    whole = json.loads(write(answer, request))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [events[-1]["response"][name] == whole[name] for name in ("output", "usage")] == [True, True]
    assert whole["usage"]["input_tokens"] == answer.usage.prompt_tokens != CHAT["usage"]["prompt_tokens"]


def test_a_vendors_own_events_are_handed_on_and_an_error_is_numbered_after_them() -> None:
    writer = StreamWriter(read(stream=True))
    block = b'event: a\ndata: {"type": "a"}\n\nevent: b\ndata: {"type": "b"}\n\n'
    assert writer.events(block, "responses") == block
    assert writer.end(answered({}, "responses")) == b""
    (error,) = parsed(writer.error(GatewayError("Broken.", code="broken", param="input")))
    told = {"code": "broken", "message": "Broken.", "param": "input"}
    assert error == {"type": "error", "sequence_number": 2, **told, "error": told}
    ResponseErrorEvent.model_validate(error)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": {"message": "No.", "code": "bad", "param": "input"}}', ("No.", "bad", "input")),
        (b'{"error": {"message": "No.", "code": 400}}', ("No.", "provider_refused", None)),
        (b'[{"error": {}}]', (ProviderRefused(400).message, "provider_refused", None)),
    ],
)
def test_a_providers_refusal_in_a_stream_says_what_the_provider_said(body: bytes, told: Any) -> None:
    (error,) = parsed(StreamWriter(read(stream=True)).error(ProviderRefused(400, body)))
    assert (error["message"], error["code"], error["param"], error["sequence_number"]) == (*told, 0)
