"""Anthropic's dialect: what may stand in a request for a message, and what of it the gateway needs to know.

Schemas are open lists, as those of OpenAI's dialect are: a field that they do not know goes to the vendor as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from gateway.errors import InvalidField
from gateway.model import ModelRequest
from gateway.schemas.fields import LARGEST_CAP, StrictBoolean, StrictInteger, StrictNumber, check, understood
from gateway.schemas.openai import ANSWER, BOTH, LONGEST_NAME, NOTHING, ModelNameSchema, left_out
from gateway.schemas.openai_messages import MOST_MESSAGES
from gateway.schemas.shapes import Object, Objects, Shape, Strings, TypedObject, missing, need, wrong_type
from gateway.schemas.steering import refuse_steering
from gateway.wire import anthropic_requests
from gateway.wire.fields import apart

ROLES = ("assistant", "system", "user")

# What a block of a type must hold for us to read it -> of which types; other types are the vendor's to judge.
_BLOCKS: Mapping[str, tuple[tuple[str, tuple[type, ...]], ...]] = {
    "text": (("text", (str,)),),
    "image": (("source", (dict,)),),
    "document": (("source", (dict,)),),
    "tool_use": (("id", (str,)), ("name", (str,)), ("input", (dict,))),
    "tool_result": (("tool_use_id", (str,)),),
    "thinking": (("thinking", (str,)),),
    "redacted_thinking": (("data", (str,)),),
}


class Blocks(Shape):
    """A text, or blocks of it."""

    described: ClassVar = {
        "type": ["string", "array"],
        "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}},
    }
    right = "a string or a list of blocks"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is list:
            _check_blocks(value, name)
        return type(value) in (str, list)


class Turns(Shape):
    """A conversation."""

    described: ClassVar = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_MESSAGES,
        "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {"role": {"type": "string", "enum": list(ROLES)}, "content": Blocks.described},
        },
    }
    right = "a list"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not list:
            return False
        if not 0 < len(value) <= MOST_MESSAGES:
            raise InvalidField(f"{name!r} must hold 1 to {MOST_MESSAGES} messages.", param=name)
        for index, message in enumerate(value):
            where = f"{name}[{index}]"
            if type(message) is not dict:
                raise wrong_type(where, "an object")
            need(message, "role", (str,), where)
            if message["role"] not in ROLES:
                raise InvalidField(f"'{where}.role' must be one of {', '.join(ROLES)}.", param=f"{where}.role")
            if type(message.get("content")) is not str:
                if "content" not in message:
                    raise missing(f"{where}.content")
                if type(message["content"]) is not list:
                    raise wrong_type(f"{where}.content", Blocks.right)
                _check_blocks(message["content"], f"{where}.content")
        return True


def _check_blocks(blocks: list[Any], where: str) -> None:
    for index, block in enumerate(blocks):
        if type(block) is not dict:
            raise wrong_type(f"{where}[{index}]", "an object")
        need(block, "type", (str,), f"{where}[{index}]")
        for name, types in _BLOCKS.get(block["type"], ()):
            need(block, name, types, f"{where}[{index}]")
        if block["type"] in ("image", "document"):
            need(block["source"], "type", (str,), f"{where}[{index}].source")
        if block["type"] == "tool_result" and block.get("content") is not None:
            content = block["content"]
            if type(content) is list:
                _check_blocks(content, f"{where}[{index}].content")
            elif type(content) is not str:
                raise wrong_type(f"{where}[{index}].content", Blocks.right)


class CountSchema(ModelNameSchema):
    """A question of how many tokens a request for a message has."""

    messages = Turns(required=True, metadata=BOTH)
    container = fields.Raw(allow_none=True, metadata=BOTH)
    context_management = Object(allow_none=True, metadata=BOTH)
    mcp_servers = Objects("name", allow_none=True, metadata=BOTH)
    output_config = Object(allow_none=True, metadata=BOTH)
    system = Blocks(allow_none=True, metadata=BOTH)
    thinking = TypedObject(allow_none=True, metadata=BOTH)
    tool_choice = TypedObject(allow_none=True, metadata=BOTH)
    tools = Objects("name", allow_none=True, metadata=BOTH)

    example: ClassVar[dict[str, Any]] = {"messages": [{"role": "user", "content": "What is a gateway?"}]}


class MessagesSchema(CountSchema):
    """A request for a message."""

    max_tokens = StrictInteger(required=True, validate=validate.Range(1, LARGEST_CAP), metadata=BOTH)
    metadata = Object(allow_none=True, metadata=NOTHING | {"description": "`user_id`: who it is for."})
    service_tier = fields.String(allow_none=True, metadata=BOTH)
    stop_sequences = Strings(allow_none=True, metadata=ANSWER)
    stream = StrictBoolean(allow_none=True, metadata=NOTHING)
    temperature = StrictNumber(allow_none=True, validate=validate.Range(0, 1), metadata=ANSWER)
    top_k = StrictInteger(allow_none=True, validate=validate.Range(0), metadata=ANSWER)
    top_p = StrictNumber(allow_none=True, validate=validate.Range(0, 1), metadata=ANSWER)

    example: ClassVar[dict[str, Any]] = {**CountSchema.example, "max_tokens": 500}


_messages, _count = MessagesSchema(), CountSchema()
_READ = left_out(_messages) | anthropic_requests.READ


def read_messages(document: dict[str, Any], body: bytes, headers: Mapping[str, str]) -> ModelRequest:
    """Understand a request whose bytes are `body`.

    Args:
        headers: those of it that a vendor of the dialect is to get, their names in lower case.

    Raises:
        InvalidField: it is none.
    """
    return _read(_messages, document, body, headers)


def read_count(document: dict[str, Any], body: bytes, headers: Mapping[str, str]) -> ModelRequest:
    """As `read_messages`, of a question how many tokens a request has."""
    return _read(_count, document, body, headers)


def _read(schema: Schema, document: dict[str, Any], body: bytes, headers: Mapping[str, str]) -> ModelRequest:
    unknown = check(schema, document)
    refuse_steering(unknown)
    rest = {name: document[name] for name in document.keys() - _READ - set(unknown)}
    rest |= {apart("anthropic", name): document[name] for name in unknown if name not in _READ}
    return ModelRequest(
        operation="chat",
        model=document.get("model"),
        asked={**understood(lambda: anthropic_requests.to_chat(document), "messages"), **rest},
        user_id=_user(document.get("metadata")),
        body=body,
        dialect="anthropic",
        headers=headers,
        stream=document.get("stream") is True,
        unknown=unknown,
    )


def _user(metadata: Any) -> str | None:
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if user is None:
        return None
    if type(user) is not str or len(user) > LONGEST_NAME:
        where = "metadata.user_id"
        raise InvalidField(f"'{where}' must be a string of at most {LONGEST_NAME} characters.", param=where)
    return user or None
