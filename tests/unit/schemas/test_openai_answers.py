"""Answers are described as OpenAI's own SDK understands them."""

from __future__ import annotations

from typing import Any

import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from jsonschema import Draft202012Validator
from openai.pagination import SyncPage
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion

from gateway.schemas.openai_answers import (
    ChatAnswerSchema,
    CompletionsAnswerSchema,
    EmbeddingsAnswerSchema,
    ModelListSchema,
    ModelSchema,
)

ANSWERS = [
    (ChatAnswerSchema, ChatCompletion),
    (CompletionsAnswerSchema, Completion),
    (EmbeddingsAnswerSchema, CreateEmbeddingResponse),
    (ModelSchema, Model),
    (ModelListSchema, SyncPage[Model]),
]


def described(schema: Any) -> Draft202012Validator:
    spec = APISpec("", "", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("Answer", schema=schema)
    document = spec.to_dict()
    return Draft202012Validator({"$ref": "#/components/schemas/Answer", "components": document["components"]})


@pytest.mark.parametrize(("schema", "sdk"), ANSWERS)
def test_each_example_is_as_described_and_as_the_sdk_reads_it(schema: Any, sdk: Any) -> None:
    described(schema).validate(schema.example)
    assert schema().validate(schema.example) == {}
    sdk.model_validate(schema.example)


@pytest.mark.parametrize(("schema", "sdk"), ANSWERS)
def test_a_field_that_the_sdk_does_not_have_is_not_described(schema: Any, sdk: Any) -> None:
    assert set(schema().fields) <= set(sdk.model_fields) | {"object"}


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (ChatAnswerSchema, {"choices": [{"message": {"content": None, "tool_calls": [{"id": "1"}], "reasoning": "hm"}}]}),
        (CompletionsAnswerSchema, {"choices": [{"text": "", "new": 1}], "usage": None}),
        (EmbeddingsAnswerSchema, {"data": [{"embedding": "AACAPw=="}]}),
    ],
)  # fmt: skip
def test_a_vendor_may_leave_out_and_add_much(schema: Any, answer: dict[str, Any]) -> None:
    described(schema).validate(answer)
