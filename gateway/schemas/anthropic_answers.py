"""Anthropic's answers as the API's description has them, and the lists that the gateway makes itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from marshmallow import fields, validate

from gateway.schemas.answers import AnswerSchema
from gateway.schemas.fields import StrictInteger


class MessageTokensSchema(AnswerSchema):
    """The tokens of one call; `input_tokens` leaves out those that the prompt cache has read or written."""

    input_tokens = StrictInteger(required=True)
    output_tokens = StrictInteger(required=True)
    cache_creation_input_tokens = StrictInteger(allow_none=True)
    cache_read_input_tokens = StrictInteger(allow_none=True)


class MessageSchema(AnswerSchema):
    """A message."""

    id = fields.String(required=True)
    type = fields.String(required=True, validate=validate.Equal("message"))
    role = fields.String(required=True, validate=validate.Equal("assistant"))
    model = fields.String(required=True, metadata={"description": "The model's name at the provider that answered."})
    content = fields.List(fields.Dict(), required=True)
    stop_reason = fields.String(required=True, allow_none=True)
    stop_sequence = fields.String(allow_none=True)
    usage = fields.Nested(MessageTokensSchema, required=True)

    example: ClassVar = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "…"}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 20, "output_tokens": 100},
    }  # fmt: skip


class TokenCountSchema(AnswerSchema):
    """How many tokens a prompt has: as its provider counts them, else an estimate."""

    input_tokens = StrictInteger(required=True)

    example: ClassVar = {"input_tokens": 20}


def model(name: str) -> dict[str, Any]:
    """A model as Anthropic lists it; when it was made is not for the gateway to know."""
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def models(names: Sequence[str]) -> dict[str, Any]:
    """All of them on one page."""
    ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
    return {"data": [model(name) for name in names], "has_more": False, **ends}
