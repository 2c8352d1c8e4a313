"""The schemas of OpenAI's requests say all that its SDK can send, and what the gateway makes of each field."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from jsonschema import Draft202012Validator
from marshmallow import Schema
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionsParams
from openai.types.embedding_create_params import EmbeddingCreateParams as EmbeddingsParams

from gateway.schemas.openai import BEARS_ON, ChatSchema, CompletionsSchema, EmbeddingsSchema, left_out

OPERATIONS = [
    pytest.param(ChatSchema(), ChatParams, {"stream"}, id="chat"),
    pytest.param(CompletionsSchema(), CompletionsParams, {"stream"}, id="completions"),
    pytest.param(EmbeddingsSchema(), EmbeddingsParams, set(), id="embeddings"),
]


@pytest.mark.parametrize(("schema", "params", "more"), OPERATIONS)
def test_every_field_that_the_sdk_can_send_is_known(schema: Schema, params: Any, more: set[str]) -> None:
    assert set(schema.fields) == set(get_type_hints(params)) | more


@pytest.mark.parametrize(("schema", "params", "more"), OPERATIONS)
def test_null_is_taken_wherever_openai_takes_it_and_for_absent_elsewhere(
    schema: Schema, params: Any, more: set[str]
) -> None:
    optional = {name for name, type_ in get_type_hints(params).items() if type(None) in get_args(type_)}
    nullable = {name for name, field in schema.fields.items() if field.allow_none}
    assert nullable >= optional | more
    assert set(schema.fields) - nullable <= {"messages", "input"}, "these must be there"


@pytest.mark.parametrize(("schema", "params", "more"), OPERATIONS)
def test_every_field_says_what_it_bears_on(schema: Schema, params: Any, more: set[str]) -> None:
    for name, field in schema.fields.items():
        assert set(field.metadata[BEARS_ON]) <= {"cost", "answer"}, name


@pytest.mark.parametrize(("schema", "params", "more"), OPERATIONS)
def test_only_who_asks_which_model_and_how_it_is_delivered_is_left_out(
    schema: Schema, params: Any, more: set[str]
) -> None:
    delivery = {"model", "user", "stream", "stream_options", "safety_identifier", "prompt_cache_key",
                "prompt_cache_options", "prompt_cache_retention"}  # fmt: skip
    assert left_out(schema) == delivery & set(schema.fields)


def test_the_description_has_the_marks_the_limits_and_that_more_fields_may_come() -> None:
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("Chat", schema=ChatSchema)
    described = spec.to_dict()["components"]["schemas"]["Chat"]
    fields = described["properties"]
    assert described["additionalProperties"] is True
    assert described["required"] == ["messages"]
    assert fields["n"] == {"type": ["integer", "null"], "minimum": 1, "maximum": 128, BEARS_ON: ["cost", "answer"]}
    assert fields["stop"]["type"] == ["string", "array", "null"]
    assert all(BEARS_ON in field for field in fields.values())


@pytest.mark.parametrize("schema", [ChatSchema, CompletionsSchema, EmbeddingsSchema])
def test_each_example_is_sound_and_as_described(schema: type[ChatSchema]) -> None:
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("Request", schema=schema)
    Draft202012Validator(spec.to_dict()["components"]["schemas"]["Request"]).validate(schema.example)
    assert schema().validate(schema.example) == {}
