"""Answers as the API's description has them: those that belong to no dialect, and what all have in common."""

from __future__ import annotations

from typing import get_args

from marshmallow import EXCLUDE, Schema, fields, validate

from gateway.model import State, Status

AMOUNT = {"type": "number"}  # a plain decimal, or a whole number


class AnswerSchema(Schema):
    """An answer; clients must bear with fields that a later version adds."""

    class Meta:
        unknown = EXCLUDE


class RefusingLimitSchema(AnswerSchema):
    """The limit that had no room for a call."""

    subject = fields.String(required=True)
    unit = fields.String(required=True)
    period = fields.String(required=True, allow_none=True, metadata={"description": "null for `concurrency`."})
    limit = fields.Raw(required=True, metadata=AMOUNT)
    used = fields.Raw(required=True, metadata=AMOUNT)
    held = fields.Raw(
        required=True,
        metadata=AMOUNT
        | {"description": "By calls in flight; 0 of limits per second to hour, whose `used` includes it."},
    )
    reset = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "When there is more room, in UTC, if that is known."},
    )


class ErrorDetailSchema(AnswerSchema):
    message = fields.String(required=True)
    type = fields.String(required=True)
    param = fields.String(required=True, allow_none=True, metadata={"description": "The field or header at fault."})
    code = fields.String(required=True)
    limit = fields.Nested(RefusingLimitSchema, metadata={"description": "Only where a limit had no room."})


class ErrorSchema(AnswerSchema):
    """Every failure of the gateway, in OpenAI's shape."""

    error = fields.Nested(ErrorDetailSchema, required=True)


class AnthropicErrorDetailSchema(AnswerSchema):
    type = fields.String(required=True)
    message = fields.String(required=True)
    code = fields.String()
    param = fields.String()
    limit = fields.Nested(RefusingLimitSchema)


class AnthropicErrorSchema(AnswerSchema):
    """Every failure of the gateway, in Anthropic's shape."""

    type = fields.String(required=True, validate=validate.Equal("error"))
    error = fields.Nested(AnthropicErrorDetailSchema, required=True)
    request_id = fields.String(required=True)


class IndexSchema(AnswerSchema):
    service = fields.String(required=True)
    version = fields.String(required=True)
    health = fields.String(required=True)
    inference = fields.String(required=True)
    openai = fields.String(required=True, metadata={"description": "The base_url of OpenAI's SDKs, at this host."})
    docs = fields.String(required=True)


class HealthSchema(AnswerSchema):
    status = fields.String(required=True, validate=validate.Equal("ok"))
    version = fields.String(required=True)


class CheckSchema(AnswerSchema):
    state = fields.String(required=True, validate=validate.OneOf(get_args(State)))


class ReadinessSchema(AnswerSchema):
    status = fields.String(required=True, validate=validate.OneOf(get_args(Status)))
    checks = fields.Dict(keys=fields.String(), values=fields.Nested(CheckSchema), required=True)
