"""Field types that JSON has and marshmallow is lenient about, and the codes of what is wrong with a field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from marshmallow import Schema, ValidationError, fields, validate

from gateway.errors import InvalidField
from gateway.wording import plain

T = TypeVar("T")

LARGEST_CAP = 2**31 - 1  # tokens of an answer


class StrictInteger(fields.Integer):
    """A JSON integer: not `true`, not `1.0`, not `"1"`."""

    def _validated(self, value: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid", input=value)
        return value


class StrictNumber(fields.Float):
    """A JSON number: not `true`, not `"1"`."""

    def _validated(self, value: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid", input=value)
        return float(value)


class StrictBoolean(fields.Boolean):
    """A JSON boolean: not `0`, not `"true"`."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if type(value) is not bool:
            raise self.make_error("invalid", input=value)
        return value


class NotBlank(validate.Validator):
    """At least one character that is not white space."""

    regex = re.compile(r"\S")  # the same for the API's description: under this name apispec looks for it

    def __call__(self, value: str) -> str:
        if not value.strip():
            raise ValidationError("must not be empty")
        return value


# marshmallow's names of what can be wrong -> ours; what a validator says is `invalid_value`
_CODES = {"required": "missing_required_parameter", "null": "invalid_type", "invalid": "invalid_type"}


def load(schema: Schema, document: dict[str, Any]) -> dict[str, Any]:
    """Validate `document`.

    Raises:
        InvalidField: for the first field at fault, in the schema's order; for an unknown one only if no other is.
    """
    try:
        loaded: dict[str, Any] = schema.load(document)
    except ValidationError as error:
        wrong: dict[str, list[str]] = error.messages_dict
        name = next((known for known in schema.fields if known in wrong), None)
        if name is None:
            unknown = next(iter(wrong))[:64]
            known = ", ".join(schema.fields)
            raise InvalidField(
                f"{unknown!r} is not a field of this request; it takes {known}.",
                param=unknown,
                code="unknown_parameter",
            ) from None
        raise _at_fault(name, schema.fields[name], wrong[name][0]) from None
    return loaded


def check(schema: Schema, document: Mapping[str, Any]) -> tuple[str, ...]:
    """Validate what an open schema knows of `document`. Nothing is copied, and fields that are absent cost nothing.

    Returns:
        The names that the schema does not know.

    Raises:
        InvalidField: for the first field at fault, in the document's order; for a missing one if no other is.
    """
    unknown = []
    for name, value in document.items():
        field = schema.fields.get(name)
        if field is None:
            unknown.append(name)
            continue
        try:
            field.deserialize(value, name)
        except ValidationError as error:
            raise _at_fault(name, field, str(next(iter(error.messages)))) from None
    for name, field in schema.fields.items():
        if field.required and name not in document:
            raise _at_fault(name, field, str(field.error_messages["required"]))
    return tuple(unknown)


def understood(read: Callable[[], T], name: str) -> T:
    """What `read` makes of a request. Raises InvalidField where a part of it, below the field `name` or beside it, has
    no form that any vendor documents."""
    try:
        return read()
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidField(f"{name!r}, or what stands beside it, cannot be understood.", param=name) from error


def _at_fault(name: str, field: fields.Field[Any], message: str) -> InvalidField:
    kind = next((kind for kind, text in field.error_messages.items() if text == message), "")
    code = _CODES.get(kind, "invalid_value")
    return InvalidField(f"{name!r} {plain(message)}.", param=name, code=code)
