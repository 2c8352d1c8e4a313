"""OpenAI's dialect: what may stand in a request, and what of it the gateway needs to know.

Schemas are open lists: a field that they do not know goes to the vendor as it came. Enumerations that grow are
checked as strings only, and null is taken for absent, because other vendors of the dialect do the same.
Each field is marked with what it bears on: what the answer costs, and which answer it is.
"""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import INCLUDE, Schema, fields, validate

from gateway.errors import InvalidField
from gateway.model import ModelRequest, Operation
from gateway.schemas.fields import LARGEST_CAP, NotBlank, StrictBoolean, StrictInteger, StrictNumber, check
from gateway.schemas.openai_messages import Messages
from gateway.schemas.shapes import (
    LogitBias,
    Object,
    Objects,
    Stop,
    StreamOptions,
    StringOrObject,
    Strings,
    TextOrTokens,
    TypedObject,
)
from gateway.schemas.steering import refuse_steering

LONGEST_NAME = 256  # of an end user; it goes into logs

BEARS_ON = "x-bears-on"
NOTHING: dict[str, Any] = {BEARS_ON: []}
COST: dict[str, Any] = {BEARS_ON: ["cost"]}
ANSWER: dict[str, Any] = {BEARS_ON: ["answer"]}
BOTH: dict[str, Any] = {BEARS_ON: ["cost", "answer"]}

_name = validate.Length(max=LONGEST_NAME)
_cap = validate.Range(1, LARGEST_CAP)
_penalty = validate.Range(-2, 2)


class ModelNameSchema(Schema):
    """What every request has, whatever its dialect."""

    class Meta:
        unknown = INCLUDE

    model = fields.String(
        allow_none=True,
        validate=NotBlank(),
        metadata=COST
        | {"description": "A configured name, or `provider/model`; null for the gateway's default model."},
    )


class RequestSchema(ModelNameSchema):
    """What every request of OpenAI's dialects has."""

    user = fields.String(
        allow_none=True,
        validate=_name,
        metadata=NOTHING | {"description": "Who it is for, as the gateway's log will show."},
    )


class _TextSchema(RequestSchema):
    """What chat and plain completions have in common."""

    frequency_penalty = StrictNumber(allow_none=True, validate=_penalty, metadata=ANSWER)
    logit_bias = LogitBias(allow_none=True, metadata=ANSWER)
    max_tokens = StrictInteger(allow_none=True, validate=_cap, metadata=BOTH)
    n = StrictInteger(allow_none=True, validate=validate.Range(1, 128), metadata=BOTH)
    presence_penalty = StrictNumber(allow_none=True, validate=_penalty, metadata=ANSWER)
    seed = StrictInteger(allow_none=True, validate=validate.Range(-(2**63), 2**63 - 1), metadata=ANSWER)
    stop = Stop(allow_none=True, metadata=ANSWER)
    stream = StrictBoolean(allow_none=True, metadata=NOTHING)
    stream_options = StreamOptions(allow_none=True, metadata=NOTHING | {"description": "Only where `stream` is true."})
    temperature = StrictNumber(allow_none=True, validate=validate.Range(0, 2), metadata=ANSWER)
    top_p = StrictNumber(allow_none=True, validate=validate.Range(0, 1), metadata=ANSWER)


class ChatSchema(_TextSchema):
    """A request for a chat completion."""

    messages = Messages(required=True, metadata=BOTH)
    audio = Object(allow_none=True, metadata=BOTH)
    function_call = StringOrObject(allow_none=True, metadata=ANSWER)
    functions = Objects("name", allow_none=True, metadata=BOTH)
    logprobs = StrictBoolean(allow_none=True, metadata=ANSWER)
    max_completion_tokens = StrictInteger(allow_none=True, validate=_cap, metadata=BOTH)
    metadata = Object(allow_none=True, metadata=ANSWER)
    modalities = Strings(allow_none=True, metadata=BOTH)
    moderation = Object(allow_none=True, metadata=ANSWER)
    parallel_tool_calls = StrictBoolean(allow_none=True, metadata=ANSWER)
    prediction = Object(allow_none=True, metadata=BOTH)
    prompt_cache_key = fields.String(allow_none=True, metadata=COST)
    prompt_cache_options = Object(allow_none=True, metadata=COST)
    prompt_cache_retention = fields.String(allow_none=True, metadata=COST)
    reasoning_effort = fields.String(allow_none=True, metadata=BOTH)
    response_format = TypedObject(allow_none=True, metadata=BOTH)
    safety_identifier = fields.String(allow_none=True, validate=_name, metadata=NOTHING)
    service_tier = fields.String(allow_none=True, metadata=BOTH)
    store = StrictBoolean(allow_none=True, metadata=ANSWER)
    tool_choice = StringOrObject(allow_none=True, metadata=BOTH)
    tools = Objects("type", allow_none=True, metadata=BOTH)
    top_logprobs = StrictInteger(allow_none=True, validate=validate.Range(0, 20), metadata=ANSWER)
    verbosity = fields.String(allow_none=True, metadata=BOTH)
    web_search_options = Object(allow_none=True, metadata=BOTH)

    example: ClassVar = {"messages": [{"role": "user", "content": "What is a gateway?"}]}


class CompletionsSchema(_TextSchema):
    """A request for a completion of plain text."""

    prompt = TextOrTokens(required=True, allow_none=True, metadata=BOTH)
    best_of = StrictInteger(allow_none=True, validate=validate.Range(1, 20), metadata=BOTH)
    echo = StrictBoolean(allow_none=True, metadata=ANSWER)
    logprobs = StrictInteger(allow_none=True, validate=validate.Range(0, 5), metadata=ANSWER)
    suffix = fields.String(allow_none=True, metadata=BOTH)

    example: ClassVar = {"prompt": "A gateway is"}


class EmbeddingsSchema(RequestSchema):
    """A request for embeddings."""

    input = TextOrTokens(required=True, validate=validate.Length(min=1), metadata=BOTH | {"minItems": 1})
    dimensions = StrictInteger(allow_none=True, validate=validate.Range(1, LARGEST_CAP), metadata=ANSWER)
    encoding_format = fields.String(allow_none=True, metadata=ANSWER)

    example: ClassVar = {"input": "What is a gateway?"}


_chat, _completions, _embeddings = ChatSchema(), CompletionsSchema(), EmbeddingsSchema()


def left_out(schema: Schema) -> frozenset[str]:
    """The names of the fields that do not bear on the answer."""
    return frozenset(name for name, field in schema.fields.items() if "answer" not in field.metadata[BEARS_ON])


_LEFT_OUT: dict[Schema, frozenset[str]] = {schema: left_out(schema) for schema in (_chat, _completions, _embeddings)}
OURS = frozenset({"model", "stream", "stream_options", "user"})  # of these, what the gateway itself acts on
_HINTS = _LEFT_OUT[_chat] - OURS


def read_chat(document: dict[str, Any], body: bytes) -> ModelRequest:
    """Understand a request whose bytes are `body`. Raises InvalidField."""
    return _read("chat", _chat, document, body)


def read_completions(document: dict[str, Any], body: bytes) -> ModelRequest:
    """As `read_chat`."""
    return _read("completions", _completions, document, body)


def read_embeddings(document: dict[str, Any], body: bytes) -> ModelRequest:
    """As `read_chat`."""
    return _read("embeddings", _embeddings, document, body)


def _read(operation: Operation, schema: Schema, document: dict[str, Any], body: bytes) -> ModelRequest:
    unknown = check(schema, document)
    refuse_steering(unknown)
    streamable = "stream" in schema.fields
    stream = streamable and document.get("stream") is True
    options = document.get("stream_options") if streamable else None
    if options is not None and not stream:
        raise InvalidField("'stream_options' may only be given where 'stream' is true.", param="stream_options")
    left_out = _LEFT_OUT[schema]
    return ModelRequest(
        operation=operation,
        conversation=document.get("prompt_cache_key"),
        model=document.get("model"),
        asked={name: value for name, value in document.items() if name not in left_out},
        user_id=document.get("user") or None,
        body=body,
        stream=stream,
        stream_options=options or {},
        unknown=unknown,
        hints=() if _HINTS.isdisjoint(document) else tuple(name for name in _HINTS if document.get(name) is not None),
    )
