"""What a caller is told of its limits."""

from __future__ import annotations

from typing import ClassVar

from marshmallow import fields, validate

from gateway.policy.keys import ROLES
from gateway.policy.limits import MODES
from gateway.schemas.answers import AMOUNT, AnswerSchema


class StandingSchema(AnswerSchema):
    """A limit that bears on the calls of a key, and how it stands."""

    subject = fields.String(required=True)
    unit = fields.String(required=True)
    period = fields.String(required=True, allow_none=True, metadata={"description": "null for `concurrency`."})
    mode = fields.String(required=True, validate=validate.OneOf(MODES))
    limit = fields.Raw(required=True, metadata=AMOUNT)
    spent = fields.Raw(required=True, metadata=AMOUNT)
    held = fields.Raw(
        required=True,
        metadata=AMOUNT
        | {"description": "By calls in flight; 0 of limits per second to hour, whose `spent` includes it."},
    )
    left = fields.Raw(required=True, metadata=AMOUNT)
    reset = fields.String(
        required=True, allow_none=True, metadata={"description": "When its calendar period ends, in UTC."}
    )


class OwnUsageSchema(AnswerSchema):
    """The calling key and the limits that bear on it."""

    object = fields.String(required=True, validate=validate.Equal("usage"))
    tenant = fields.String(required=True)
    key_id = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(ROLES))
    models = fields.List(
        fields.String(), required=True, allow_none=True, metadata={"description": "That it may ask for; null for all."}
    )
    limits = fields.List(fields.Nested(StandingSchema), required=True)

    example: ClassVar = {
        "object": "usage",
        "tenant": "search",
        "key_id": "9eb82dae764a",
        "role": "client",
        "models": ["fast", "smart"],
        "limits": [
            {
                "subject": "tenant:search",
                "unit": "usd",
                "period": "month",
                "mode": "hard",
                "limit": 500,
                "spent": 12.5,
                "held": 0.25,
                "left": 487.25,
                "reset": "2026-12-01T00:00:00Z",
            }
        ],
    }
