"""Fields whose values are of several types, or hold others. Inside of them only that is insisted on which every
vendor insists on, or the gateway reads; the rest, and names that nobody knows yet, are the vendor's to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import fields

from gateway.errors import InvalidField

MOST_STOPS = 16  # OpenAI takes 4, DeepSeek 16
STRONGEST_BIAS = 100
_NAMES: Mapping[type, str] = {str: "a string", dict: "an object"}


class Shape(fields.Field[Any]):
    """A field that is described by hand, in JSON Schema's words.

    Args:
        metadata: more of the description.
        others: what every field of marshmallow takes.
    """

    right: ClassVar[str]  # what a value must be
    described: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, *, metadata: Mapping[str, Any], **others: Any) -> None:
        messages: dict[str, str | list[Any] | dict[Any, Any]] = {"invalid": f"must be {self.right}"}
        super().__init__(metadata={**self.described, **metadata}, error_messages=messages, **others)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not self.accepts(value, attr or ""):
            raise self.make_error("invalid")
        return value

    def accepts(self, value: Any, name: str) -> bool:
        """Whether `value` has the field's type. May raise InvalidField for something inside of it."""
        raise NotImplementedError


class Object(Shape):
    """Any JSON object."""

    described: ClassVar = {"type": "object"}
    right = "an object"

    def accepts(self, value: Any, name: str) -> bool:
        return type(value) is dict


class TypedObject(Object):
    """An object with a `type`."""

    described: ClassVar = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not dict:
            return False
        need(value, "type", (str,), name)
        return True


class Objects(Shape):
    """A list of objects, each with a string under the same name.

    Args:
        label: that name.
        others: as for `Shape`.
    """

    right = "a list"

    def __init__(self, label: str, *, metadata: Mapping[str, Any], **others: Any) -> None:
        item = {"type": "object", "required": [label], "properties": {label: {"type": "string"}}}
        super().__init__(metadata={"type": "array", "items": item, **metadata}, **others)
        self.label = label

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not list:
            return False
        for index, item in enumerate(value):
            if type(item) is not dict:
                raise wrong_type(f"{name}[{index}]", "an object")
            need(item, self.label, (str,), f"{name}[{index}]")
        return True


class StringOrObject(Shape):
    described: ClassVar = {"type": ["string", "object"]}
    right = "a string or an object"

    def accepts(self, value: Any, name: str) -> bool:
        return type(value) in (str, dict)


class Strings(Shape):
    described: ClassVar = {"type": "array", "items": {"type": "string"}}
    right = "a list of strings"

    def accepts(self, value: Any, name: str) -> bool:
        return type(value) is list and set(map(type, value)) <= {str}


class Stop(Shape):
    """What ends the answer: one string or a few."""

    described: ClassVar = {"type": ["string", "array"], "items": {"type": "string"}, "maxItems": MOST_STOPS}
    right = "a string or a list of strings"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is list and len(value) > MOST_STOPS:
            raise InvalidField(f"{name!r} must not list more than {MOST_STOPS} strings.", param=name)
        return type(value) is str or (type(value) is list and set(map(type, value)) <= {str})


class LogitBias(Shape):
    """Tokens' numbers, as strings, and what is added to their odds."""

    described: ClassVar = {
        "type": "object",
        "additionalProperties": {"type": "number", "minimum": -STRONGEST_BIAS, "maximum": STRONGEST_BIAS},
    }
    right = "an object whose values are numbers"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not dict or not set(map(type, value.values())) <= {int, float}:
            return False
        if value and not -STRONGEST_BIAS <= min(value.values()) <= max(value.values()) <= STRONGEST_BIAS:
            raise InvalidField(
                f"{name!r} must hold only numbers from {-STRONGEST_BIAS} to {STRONGEST_BIAS}.", param=name
            )
        return True


class StreamOptions(Shape):
    switches = ("include_usage", "include_obfuscation")
    described: ClassVar = {
        "type": "object",
        "properties": {name: {"type": ["boolean", "null"]} for name in switches},
    }
    right = "an object"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not dict:
            return False
        for switch in self.switches:
            if value.get(switch) is not None and type(value[switch]) is not bool:
                raise wrong_type(f"{name}.{switch}", "true or false")
        return True


class TextOrTokens(Shape):
    """One text or several, each written out or as the numbers of its tokens."""

    described: ClassVar = {
        "type": ["string", "array"],
        "items": {"type": ["string", "integer", "array"], "items": {"type": "integer"}},
    }
    right = "a string, a list of strings, a list of token numbers, or a list of such lists"

    def accepts(self, value: Any, name: str) -> bool:
        if type(value) is not list:
            return type(value) is str
        kinds = set(map(type, value))
        if kinds == {list}:
            return all(set(map(type, tokens)) <= {int} for tokens in value)
        return kinds <= {str} or kinds == {int}


def need(where: Mapping[str, Any], name: str, types: tuple[type, ...], path: str) -> None:
    """Refuse an object at `path` that has no `name`, or one of another type."""
    if name not in where:
        raise missing(f"{path}.{name}")
    if type(where[name]) not in types:
        raise wrong_type(f"{path}.{name}", " or ".join(_NAMES[type_] for type_ in types))


def missing(param: str) -> InvalidField:
    return InvalidField(f"'{param}' is required.", param=param, code="missing_required_parameter")


def wrong_type(param: str, right: str) -> InvalidField:
    return InvalidField(f"'{param}' must be {right}.", param=param, code="invalid_type")
