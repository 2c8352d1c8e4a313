"""The dialect of `POST /inference`: one prompt in, one answer with its tokens and cost out."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

import orjson
from marshmallow import RAISE, Schema, fields, validate

from gateway.errors import GatewayError
from gateway.model import Answer, Dialect, ModelRequest, UsageSource, usd
from gateway.schemas.answers import AnswerSchema
from gateway.schemas.fields import LARGEST_CAP, NotBlank, StrictBoolean, StrictInteger, StrictNumber, load
from gateway.schemas.openai_stream import error_event
from gateway.telemetry.record import RequestRecord
from gateway.wire import sse


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
    stream = StrictBoolean(load_default=False, metadata={"description": "Answer in server-sent events."})

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


def read(document: dict[str, Any]) -> ModelRequest:
    """Translate a request. Raises InvalidField."""
    fields_ = load(_schema, document)
    system = [{"role": "system", "content": fields_["system"]}] if fields_["system"] else []
    asked = {"messages": [*system, {"role": "user", "content": fields_["prompt"]}]}
    asked |= {name: fields_[name] for name in ("max_tokens", "temperature") if fields_[name] is not None}
    return ModelRequest("chat", fields_["model"], asked, fields_["user_id"], stream=fields_["stream"])


def write(answer: Answer, duration_ms: int, request_id: str) -> bytes:
    """The answer's JSON, its fields in the order of the contract, the cost as a plain decimal."""
    return orjson.dumps({"response": answer.completion.text, **_account(answer, duration_ms, request_id)})


class StreamWriter:
    """Writes a stream's events: the text in pieces, then everything that a whole answer says beside it.

    Args:
        record: the request.
    """

    def __init__(self, record: RequestRecord) -> None:
        self._record = record

    def events(self, block: bytes, dialect: Dialect) -> bytes:
        """The text of a block of OpenAI's events, as one event; b"" where they have none."""
        delta = "".join(map(_delta, sse.payloads(block)))
        return sse.event(orjson.dumps({"delta": delta})) if delta else b""

    def end(self, answer: Answer) -> bytes:
        account = _account(answer, self._record.duration_ms, self._record.request_id)
        return sse.event(orjson.dumps(account)) + sse.DONE

    def error(self, error: GatewayError) -> bytes:
        return error_event(error)


def _delta(payload: bytes) -> str:
    """The text that the first choice of a chunk adds; nothing where it cannot be read."""
    try:
        choice = orjson.loads(payload)["choices"][0]
        text = choice["delta"].get("content") if choice.get("index", 0) == 0 else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""
    return text if isinstance(text, str) else ""


def _account(answer: Answer, duration_ms: int, request_id: str) -> dict[str, Any]:
    usage, cost_nano = answer.usage, answer.cost_nano
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "estimated_cost_usd": None if cost_nano is None else orjson.Fragment(usd(cost_nano)),
        "duration_ms": duration_ms,
        "model": str(answer.target),
        "cached": answer.cached,
        "usage_source": usage.source,
        "request_id": request_id,
    }
