"""OpenAI's answers as the API's description has them. They are the vendors' own, so only that is promised
which all of them send.
"""

from __future__ import annotations

from typing import ClassVar

from marshmallow import fields, validate

from gateway.schemas.answers import AnswerSchema
from gateway.schemas.fields import StrictInteger


class TokensSchema(AnswerSchema):
    """The tokens of one call."""

    prompt_tokens = StrictInteger(required=True)
    completion_tokens = StrictInteger()
    total_tokens = StrictInteger()


class _MadeSchema(AnswerSchema):
    """What every answer has that a model made of a text."""

    id = fields.String()
    object = fields.String()
    created = StrictInteger(metadata={"description": "Seconds since 1970."})
    model = fields.String(metadata={"description": "The model's name at the provider that answered."})
    usage = fields.Nested(TokensSchema, allow_none=True)


class AnsweredMessageSchema(AnswerSchema):
    role = fields.String()
    content = fields.String(allow_none=True, metadata={"description": "Null where there are only tool calls."})
    refusal = fields.String(allow_none=True)
    tool_calls = fields.List(fields.Dict(), allow_none=True)


class ChatChoiceSchema(AnswerSchema):
    index = StrictInteger()
    message = fields.Nested(AnsweredMessageSchema, required=True)
    finish_reason = fields.String(allow_none=True)


class ChatAnswerSchema(_MadeSchema):
    """A chat completion."""

    choices = fields.List(fields.Nested(ChatChoiceSchema), required=True)

    example: ClassVar = {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1767225600, "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "…"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120},
    }  # fmt: skip


class CompletionsChoiceSchema(AnswerSchema):
    index = StrictInteger()
    text = fields.String(required=True)
    finish_reason = fields.String(allow_none=True)


class CompletionsAnswerSchema(_MadeSchema):
    """A completion of plain text."""

    choices = fields.List(fields.Nested(CompletionsChoiceSchema), required=True)

    example: ClassVar = {
        "id": "cmpl-1", "object": "text_completion", "created": 1767225600, "model": "gpt-3.5-turbo-instruct",
        "choices": [{"index": 0, "text": "…", "finish_reason": "length"}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 16, "total_tokens": 20},
    }  # fmt: skip


class EmbeddingSchema(AnswerSchema):
    index = StrictInteger()
    object = fields.String()
    embedding = fields.Raw(
        required=True,
        metadata={
            "type": ["array", "string"],
            "items": {"type": "number"},
            "description": "Numbers, or their bytes in base64, as `encoding_format` asked.",
        },
    )


class EmbeddingsAnswerSchema(AnswerSchema):
    """Embeddings, in the order of the inputs."""

    object = fields.String()
    data = fields.List(fields.Nested(EmbeddingSchema), required=True)
    model = fields.String()
    usage = fields.Nested(TokensSchema, allow_none=True)

    example: ClassVar = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.0023, -0.0093, 0.0158]}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    }


class ModelSchema(AnswerSchema):
    """A model that the calling key may use."""

    id = fields.String(required=True, metadata={"description": "What `model` may be in a request."})
    object = fields.String(required=True, validate=validate.Equal("model"))
    created = StrictInteger(required=True)
    owned_by = fields.String(required=True)

    example: ClassVar = {"id": "smart", "object": "model", "created": 1767225600, "owned_by": "gateway"}


class ModelListSchema(AnswerSchema):
    """The models that the calling key may use."""

    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.Nested(ModelSchema), required=True)

    example: ClassVar = {"object": "list", "data": [ModelSchema.example]}
