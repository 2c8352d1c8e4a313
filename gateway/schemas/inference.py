"""The dialect of `POST /inference`: one prompt in, one answer with its tokens and cost out."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import orjson
from marshmallow import RAISE, Schema, fields, validate

from gateway.model import Answer, ChatRequest, Message, UsageSource, usd
from gateway.schemas.answers import AnswerSchema
from gateway.schemas.fields import NotBlank, StrictBoolean, StrictInteger, StrictNumber, load

LARGEST_CAP = 2**31 - 1


class InferenceSchema(Schema):
    """The request."""

    class Meta:
        unknown = RAISE

    prompt = fields.String(required=True, validate=NotBlank())
    user_id = fields.String(
        required=True,
        validate=[NotBlank(), validate.Length(max=256)],
        metadata={"description": "Who it is for, as the gateway's log will show."},
    )
    model = fields.String(
        load_default=None,
        validate=NotBlank(),
        metadata={"description": "A configured name, or `provider/model`; null for the gateway's default model."},
    )
    system = fields.String(load_default=None)
    max_tokens = StrictInteger(load_default=None, validate=validate.Range(min=1, max=LARGEST_CAP))
    temperature = StrictNumber(load_default=None, validate=validate.Range(min=0, max=2))
    stream = StrictBoolean(
        load_default=False,
        validate=validate.Equal(False, error="must be false: this version answers whole replies only"),
    )

    example: ClassVar = {"prompt": "What is a gateway?", "user_id": "alice"}


class InferenceAnswerSchema(AnswerSchema):
    """The answer, as `write` writes it."""

    response = fields.String(required=True)
    prompt_tokens = StrictInteger(required=True)
    completion_tokens = StrictInteger(required=True)
    estimated_cost_usd = StrictNumber(
        required=True,
        allow_none=True,
        metadata={"description": "Exact to the nano-dollar; null for a model without a price."},
    )
    duration_ms = StrictInteger(required=True)
    model = fields.String(required=True, metadata={"description": "`provider/model` that answered."})
    cached = StrictBoolean(required=True)
    usage_source = fields.String(
        required=True,
        validate=validate.OneOf(get_args(UsageSource)),
        metadata={"description": "Who counted the tokens: the provider, or the gateway."},
    )
    request_id = fields.String(required=True)

    example: ClassVar = {
        "response": "…", "prompt_tokens": 20, "completion_tokens": 100, "estimated_cost_usd": 0.0021,
        "duration_ms": 845, "model": "openai/gpt-4o-mini", "cached": False, "usage_source": "provider",
        "request_id": "5d0c3f6b9d6e4b0c8f1e2a7b4c9d8e6f",
    }  # fmt: skip


_schema = InferenceSchema()


def read(document: dict[str, Any]) -> ChatRequest:
    """Translate a request. Raises InvalidField."""
    fields_ = load(_schema, document)
    system = (Message("system", fields_["system"]),) if fields_["system"] else ()
    return ChatRequest(
        model=fields_["model"],
        messages=(*system, Message("user", fields_["prompt"])),
        user_id=fields_["user_id"],
        max_tokens=fields_["max_tokens"],
        temperature=fields_["temperature"],
    )


def write(answer: Answer, duration_ms: int, request_id: str) -> bytes:
    """The answer's JSON, its fields in the order of the contract, the cost as a plain decimal."""
    usage, cost_nano = answer.usage, answer.cost_nano
    return orjson.dumps(
        {
            "response": answer.completion.text,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "estimated_cost_usd": None if cost_nano is None else orjson.Fragment(usd(cost_nano)),
            "duration_ms": duration_ms,
            "model": str(answer.target),
            "cached": answer.cached,
            "usage_source": usage.source,
            "request_id": request_id,
        }
    )
