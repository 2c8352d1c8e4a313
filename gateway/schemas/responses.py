"""OpenAI's responses: what may stand in a request for one, and what of it the gateway needs to know.

Schemas are open lists, as those of its chat are: a field that they do not know goes to the vendor as it came.
"""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import INCLUDE, fields, validate

from gateway.errors import InvalidField
from gateway.model import ModelRequest
from gateway.schemas.fields import LARGEST_CAP, StrictBoolean, StrictInteger, StrictNumber, check, understood
from gateway.schemas.openai import ANSWER, BOTH, COST, LONGEST_NAME, NOTHING, RequestSchema
from gateway.schemas.responses_items import Items, ReasoningForm, TextForm, ToolChoice, Tools
from gateway.schemas.shapes import Object, Objects, StreamOptions, StringOrObject, Strings, missing
from gateway.schemas.steering import refuse_steering
from gateway.wire import responses_requests
from gateway.wire.fields import apart

_IN_PLACE_OF_INPUT = ("prompt", "previous_response_id", "conversation")
_HINTS = ("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier")


class ResponsesSchema(RequestSchema):
    """A request for a response."""

    class Meta:
        unknown = INCLUDE

    input = Items(allow_none=True, metadata=BOTH)
    background = StrictBoolean(allow_none=True, metadata=BOTH)
    context_management = Objects("type", allow_none=True, metadata=BOTH)
    conversation = StringOrObject(allow_none=True, metadata=BOTH)
    include = Strings(allow_none=True, metadata=ANSWER)
    instructions = fields.String(allow_none=True, metadata=BOTH)
    max_output_tokens = StrictInteger(allow_none=True, validate=validate.Range(1, LARGEST_CAP), metadata=BOTH)
    max_tool_calls = StrictInteger(allow_none=True, validate=validate.Range(1, LARGEST_CAP), metadata=BOTH)
    metadata = Object(allow_none=True, metadata=ANSWER)
    moderation = Object(allow_none=True, metadata=ANSWER)
    parallel_tool_calls = StrictBoolean(allow_none=True, metadata=ANSWER)
    previous_response_id = fields.String(allow_none=True, metadata=BOTH)
    prompt = Object(allow_none=True, metadata=BOTH)
    prompt_cache_key = fields.String(allow_none=True, metadata=COST)
    prompt_cache_options = Object(allow_none=True, metadata=COST)
    prompt_cache_retention = fields.String(allow_none=True, metadata=COST)
    reasoning = ReasoningForm(allow_none=True, metadata=BOTH)
    safety_identifier = fields.String(allow_none=True, validate=validate.Length(max=LONGEST_NAME), metadata=NOTHING)
    service_tier = fields.String(allow_none=True, metadata=BOTH)
    store = StrictBoolean(allow_none=True, metadata=ANSWER)
    stream = StrictBoolean(allow_none=True, metadata=NOTHING)
    stream_options = StreamOptions(allow_none=True, metadata=NOTHING | {"description": "Only where `stream` is true."})
    temperature = StrictNumber(allow_none=True, validate=validate.Range(0, 2), metadata=ANSWER)
    text = TextForm(allow_none=True, metadata=BOTH)
    tool_choice = ToolChoice(allow_none=True, metadata=BOTH)
    tools = Tools("type", allow_none=True, metadata=BOTH)
    top_logprobs = StrictInteger(allow_none=True, validate=validate.Range(0, 20), metadata=ANSWER)
    top_p = StrictNumber(allow_none=True, validate=validate.Range(0, 1), metadata=ANSWER)
    truncation = fields.String(allow_none=True, metadata=BOTH)

    example: ClassVar = {"input": "What is a gateway?"}


_responses = ResponsesSchema()


def read_responses(document: dict[str, Any], body: bytes) -> ModelRequest:
    """Understand a request whose bytes are `body`. Raises InvalidField."""
    unknown = check(_responses, document)
    refuse_steering(unknown)
    if document.get("input") is None and not any(document.get(name) for name in _IN_PLACE_OF_INPUT):
        raise missing("input")
    stream, options = document.get("stream") is True, document.get("stream_options")
    if options is not None and not stream:
        raise InvalidField("'stream_options' may only be given where 'stream' is true.", param="stream_options")
    beside = {apart("responses", name): document[name] for name in unknown}
    return ModelRequest(
        operation="chat",
        conversation=document.get("prompt_cache_key") or _conversation(document.get("conversation")),
        model=document.get("model"),
        asked={**understood(lambda: responses_requests.to_chat(document), "input"), **beside},
        user_id=document.get("user") or document.get("safety_identifier") or None,
        body=body,
        dialect="responses",
        stream=stream,
        stream_options=options or {},
        unknown=unknown,
        hints=tuple(name for name in _HINTS if document.get(name) is not None),
    )


def _conversation(given: Any) -> str | None:
    """The name of a conversation that the vendor keeps."""
    name = given.get("id") if isinstance(given, dict) else given
    return name if isinstance(name, str) else None
