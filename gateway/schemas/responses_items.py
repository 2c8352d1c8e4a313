"""The input of a response. What the gateway reads itself is checked; other items, parts and names pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gateway.errors import InvalidField
from gateway.schemas.openai_messages import MOST_MESSAGES
from gateway.schemas.shapes import Objects, Shape, StringOrObject, missing, need, wrong_type

ROLES = ("user", "assistant", "system", "developer")

# Strings that an item or a part of a type must hold for us to read it; other types are the vendor's to judge.
_STRINGS: Mapping[str, tuple[str, ...]] = {
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
    "function_call_output": ("call_id",),
    "custom_tool_call_output": ("call_id",),
    "input_text": ("text",),
    "output_text": ("text",),
    "summary_text": ("text",),
    "reasoning_text": ("text",),
    "refusal": ("refusal",),
}
_NULLABLE: Mapping[str, tuple[str, ...]] = {  # of these, strings or null, if they are there
    "reasoning": ("encrypted_content",),
    "input_image": ("image_url", "file_id", "detail"),
    "input_file": ("file_data", "file_url", "file_id", "filename"),
}
_SPOKEN: Mapping[str, str] = {  # of these, the field that holds a text or parts
    "message": "content",
    "function_call_output": "output",
    "custom_tool_call_output": "output",
}


class Items(Shape):
    """A text, or items of a conversation: messages, thoughts, calls of tools and what these brought."""

    described: ClassVar = {
        "type": ["string", "array"],
        "maxItems": MOST_MESSAGES,
        "items": {
            "type": "object",
            "properties": {
                "type": {"type": ["string", "null"], "description": "`message` where there is a `role` and no type."},
                "role": {"type": "string", "description": f"Of a message: {', '.join(ROLES)}."},
                "content": {"type": ["string", "array", "null"], "items": {"type": "object"}},
            },
        },
    }
    right = "a string or a list of items"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not list:
            return type(value) is str
        if len(value) > MOST_MESSAGES:
            raise InvalidField(f"{name!r} must not hold more than {MOST_MESSAGES} items.", param=name)
        for index, item in enumerate(value):
            if type(item) is not dict:
                raise wrong_type(f"{name}[{index}]", "an object")
            _check_item(item, f"{name}[{index}]")
        return True


def _check_item(item: Mapping[str, Any], where: str) -> None:
    if item.get("type") is not None:
        need(item, "type", (str,), where)
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    if kind == "message":
        need(item, "role", (str,), where)
        if item["role"] not in ROLES:
            raise InvalidField(f"'{where}.role' must be one of {', '.join(ROLES)}.", param=f"{where}.role")
    if kind == "reasoning":
        for name in ("summary", "content"):
            if item.get(name) is not None:
                _check_parts(item[name], f"{where}.{name}", "a list of parts", "text")
    _check_strings(item, kind, where)
    if spoken := _SPOKEN.get(kind):
        if spoken not in item:
            raise missing(f"{where}.{spoken}")
        if type(item[spoken]) is not str:
            _check_parts(item[spoken], f"{where}.{spoken}", "a string or a list of parts")


def _check_parts(parts: Any, where: str, right: str, *strings: str) -> None:
    if type(parts) is not list:
        raise wrong_type(where, right)
    for index, part in enumerate(parts):
        if type(part) is not dict:
            raise wrong_type(f"{where}[{index}]", "an object")
        for name in ("type", *strings):
            need(part, name, (str,), f"{where}[{index}]")
        _check_strings(part, part["type"], f"{where}[{index}]")


def _check_strings(of: Mapping[str, Any], kind: str, where: str) -> None:
    for name in _STRINGS.get(kind, ()):
        need(of, name, (str,), where)
    for name in _NULLABLE.get(kind, ()):
        if of.get(name) is not None:
            need(of, name, (str,), where)


class Tools(Objects):
    """Tools of any type; a client's own need a name, by which they are called."""

    def accepts(self, value: Any, name: str) -> bool:
        found = super().accepts(value, name)
        for index, tool in enumerate(value if found else ()):
            _check_named(tool, f"{name}[{index}]")
        return found


class ToolChoice(StringOrObject):
    """Which tool is to be called."""

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is dict:
            need(value, "type", (str,), name)
            _check_named(value, name)
            if value["type"] == "allowed_tools":
                _check_parts(value.get("tools"), f"{name}.tools", "a list")
                for index, tool in enumerate(value["tools"]):
                    _check_named(tool, f"{name}.tools[{index}]")
        return super().accepts(value, name)


def _check_named(tool: Mapping[str, Any], where: str) -> None:
    if tool["type"] in ("function", "custom"):
        need(tool, "name", (str,), where)


class TextForm(Shape):
    """In which form the text is to come."""

    described: ClassVar = {
        "type": "object",
        "properties": {
            "format": {"type": ["object", "null"], "required": ["type"], "properties": {"type": {"type": "string"}}},
            "verbosity": {"type": ["string", "null"]},
        },
    }
    right = "an object"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not dict:
            return False
        if value.get("verbosity") is not None:
            need(value, "verbosity", (str,), name)
        if (form := value.get("format")) is not None:
            need(value, "format", (dict,), name)
            need(form, "type", (str,), f"{name}.format")
            if form["type"] == "json_schema":
                need(form, "name", (str,), f"{name}.format")
                need(form, "schema", (dict,), f"{name}.format")
        return True


class ReasoningForm(Shape):
    """How much is to be thought, and how much of it told."""

    described: ClassVar = {
        "type": "object",
        "properties": {name: {"type": ["string", "null"]} for name in ("effort", "summary")},
    }
    right = "an object"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not dict:
            return False
        if value.get("effort") is not None:
            need(value, "effort", (str,), name)
        return True
