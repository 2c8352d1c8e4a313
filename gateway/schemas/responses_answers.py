"""OpenAI's responses as the API's description has them: only that is promised which the vendor's own and those that
the gateway makes have alike."""

from __future__ import annotations

from typing import ClassVar

from marshmallow import fields

from gateway.schemas.answers import AnswerSchema
from gateway.schemas.fields import StrictInteger


class ResponseTokensSchema(AnswerSchema):
    """The tokens of one call; the cached ones are among those of the input, reasoning is among those of the output."""

    input_tokens = StrictInteger(required=True)
    output_tokens = StrictInteger(required=True)
    total_tokens = StrictInteger()
    input_tokens_details = fields.Dict()
    output_tokens_details = fields.Dict()


class ResponseSchema(AnswerSchema):
    """A response."""

    id = fields.String(required=True)
    object = fields.String()
    created_at = fields.Float(metadata={"description": "Seconds since 1970."})
    status = fields.String(metadata={"description": "`completed`, or `incomplete` where it was cut."})
    incomplete_details = fields.Dict(allow_none=True)
    error = fields.Dict(allow_none=True)
    model = fields.String(metadata={"description": "The model's name at the provider that answered."})
    output = fields.List(
        fields.Dict(),
        required=True,
        metadata={"description": "Items of type `message`, `reasoning`, `function_call` and more."},
    )
    usage = fields.Nested(ResponseTokensSchema, allow_none=True)

    example: ClassVar = {
        "id": "resp_1", "object": "response", "created_at": 1767225600, "status": "completed", "model": "gpt-4o-mini",
        "error": None, "incomplete_details": None, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "output": [{
            "id": "msg_1_0", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "…", "annotations": []}],
        }],
        "usage": {
            "input_tokens": 20, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 100, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120,
        },
    }  # fmt: skip
