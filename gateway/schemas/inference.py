"""The dialect of `POST /inference`: one prompt in, one answer with its tokens and cost out."""

from __future__ import annotations

from typing import Any

import orjson
from marshmallow import RAISE, Schema, fields, validate

from gateway.errors import InvalidField
from gateway.model import Answer, ChatRequest, Message, usd
from gateway.schemas.fields import NotBlank, StrictBoolean, StrictInteger, StrictNumber, load

LARGEST_CAP = 2**31 - 1


class InferenceSchema(Schema):
    """The request."""

    class Meta:
        unknown = RAISE

    prompt = fields.String(required=True, validate=NotBlank())
    user_id = fields.String(required=True, validate=[NotBlank(), validate.Length(max=256)])
    model = fields.String(load_default=None, validate=NotBlank())
    system = fields.String(load_default=None)
    max_tokens = StrictInteger(load_default=None, validate=validate.Range(min=1, max=LARGEST_CAP))
    temperature = StrictNumber(load_default=None, validate=validate.Range(min=0, max=2))
    stream = StrictBoolean(load_default=False)


_schema = InferenceSchema()


def read(document: dict[str, Any]) -> ChatRequest:
    """Translate a request. Raises InvalidField."""
    fields_ = load(_schema, document)
    if fields_["stream"]:
        raise InvalidField("'stream': this version answers whole replies only; leave it out.", param="stream")
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
