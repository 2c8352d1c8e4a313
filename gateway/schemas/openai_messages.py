"""The messages of OpenAI's chat. What the gateway reads itself is checked; other names in a message or a part pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from gateway.errors import InvalidField
from gateway.schemas.shapes import Shape, missing, need, wrong_type

MOST_MESSAGES = 10_000
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_MAY_BE_SILENT = frozenset({"assistant", "function"})  # roles whose `content` may be null

# A part's type -> the types of what it holds under that name; some vendors take an image's or a sound's plain address.
_PARTS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "refusal": (str,),
    "image_url": (dict, str),
    "input_audio": (dict, str),
    "file": (dict,),
}
_PARTS_OF_VENDORS = frozenset({"video_url", "audio_url", "document_url", "image_embeds", "reference", "thinking"})


class Messages(Shape):
    """A conversation. Its messages are checked by plain loops: there may be thousands."""

    described: ClassVar = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_MESSAGES,
        "items": {
            "type": "object",
            "required": ["role"],
            "properties": {
                "role": {"type": "string", "enum": sorted(ROLES)},
                "content": {
                    "type": ["string", "array", "null"],
                    "items": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {"type": {"type": "string", "enum": sorted({*_PARTS, *_PARTS_OF_VENDORS})}},
                    },
                },
                "tool_calls": {"type": ["array", "null"], "items": {"type": "object"}},
            },
        },
    }
    right = "a list"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not list:
            return False
        if not value:
            raise InvalidField(f"{name!r} must not be empty.", param=name)
        if len(value) > MOST_MESSAGES:
            raise InvalidField(f"{name!r} must not hold more than {MOST_MESSAGES} messages.", param=name)
        for index, message in enumerate(value):
            if type(message) is not dict:
                raise wrong_type(f"{name}[{index}]", "an object")
            role = message.get("role")
            if type(role) is not str or role not in ROLES:
                need(message, "role", (str,), f"{name}[{index}]")
                raise _not_one_of(ROLES, f"{name}[{index}].role")
            if type(message.get("content")) is not str:
                _check_content(message, f"{name}[{index}]")
            if message.get("tool_calls") is not None:
                _check_calls(message["tool_calls"], f"{name}[{index}].tool_calls")
        return True


def _check_content(message: Mapping[str, Any], where: str) -> None:
    """Check content that is not a string."""
    content = message.get("content")
    if content is None and message["role"] in _MAY_BE_SILENT:
        return
    if "content" not in message:
        raise missing(f"{where}.content")
    where = f"{where}.content"
    if type(content) is not list:
        raise wrong_type(where, "a string or a list of parts")
    for index, part in enumerate(content):
        if type(part) is not dict:
            raise wrong_type(f"{where}[{index}]", "an object")
        kind = part.get("type")
        if type(kind) is str and kind in _PARTS:
            if type(part.get(kind)) not in _PARTS[kind]:
                need(part, kind, _PARTS[kind], f"{where}[{index}]")
        elif type(kind) is not str or kind not in _PARTS_OF_VENDORS:
            need(part, "type", (str,), f"{where}[{index}]")
            raise _not_one_of(_PARTS, f"{where}[{index}].type")


def _check_calls(calls: Any, where: str) -> None:
    if type(calls) is not list:
        raise wrong_type(where, "a list")
    for index, call in enumerate(calls):
        if type(call) is not dict:
            raise wrong_type(f"{where}[{index}]", "an object")


def _not_one_of(right: Iterable[str], param: str) -> InvalidField:
    return InvalidField(f"'{param}' must be one of {', '.join(sorted(right))}.", param=param)
