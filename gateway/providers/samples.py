"""The least that satisfies a JSON Schema: what the built-in provider says where a request wants JSON of some shape.

Patterns, `not`, conditions and what an array must contain are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

import orjson

T = TypeVar("T")

_LARGEST = 100_000  # of one sample: entries of schemas looked at each time, and characters
_DEEPEST = 100  # schemas within each other

_FORMATS = {
    "date": "2025-01-01", "time": "00:00:00Z", "date-time": "2025-01-01T00:00:00Z", "duration": "P1D",
    "email": "user@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
    "uri": "https://example.com/", "uuid": "00000000-0000-4000-8000-000000000000",
}  # fmt: skip
_TYPE_OF = {  # the type that a keyword speaks of, where a schema names none
    "properties": "object", "required": "object", "items": "array", "prefixItems": "array", "minItems": "array",
    "minLength": "string", "format": "string", "pattern": "string", "minimum": "number", "exclusiveMinimum": "number",
    "maximum": "number", "exclusiveMaximum": "number", "multipleOf": "number",
}  # fmt: skip


def sample(schema: Any) -> Any:
    """An instance of a JSON schema, the same for the same schema.

    Raises:
        ValueError: nothing satisfies it, or only what is too large, or it refers to what is not in it.
    """
    return _Sampler(schema).value(schema, frozenset())


class _Impossible(ValueError):
    """Nothing satisfies this part of a schema; another option of it may do."""


class _Sampler:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _LARGEST

    def value(self, schema: Any, above: frozenset[str], depth: int = 0) -> Any:
        """An instance of a part of the schema.

        Args:
            schema: the part.
            above: references that the part is within. The least instance has none within itself.
            depth: parts that it is within.
        """
        if depth > _DEEPEST:
            raise ValueError("a schema that is too deep")
        schema, above = self._resolved(schema, above)
        if schema is False:
            raise _Impossible("a schema that nothing satisfies")
        if schema is True:
            return None
        if "const" in schema:
            return self._as_given(schema["const"])
        if schema.get("enum"):
            return self._as_given(schema["enum"][0])
        if "default" in schema:
            return self._as_given(schema["default"])
        for keyword in ("allOf", "anyOf", "oneOf"):
            if keyword in schema:
                return self._combined(keyword, schema[keyword], _without(schema, keyword), above, depth + 1)
        kinds = schema.get("type") or next((kind for name, kind in _TYPE_OF.items() if name in schema), "null")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        self._spend(len(kinds))
        return _first_possible(lambda kind: self._of_type(kind, schema, above, depth + 1), kinds)

    def _combined(self, keyword: str, what: Any, rest: dict[str, Any], above: frozenset[str], depth: int) -> Any:
        if keyword == "allOf":
            inside = above
            for part in what:
                asked, within = self._resolved(part, above)
                rest, inside = _both(asked, rest), inside | within
            return self.value(rest, inside, depth)
        return _first_possible(lambda option: self.value(_both(option, rest), above, depth), what)

    def _of_type(self, kind: str, schema: Mapping[str, Any], above: frozenset[str], depth: int) -> Any:
        if kind == "object":
            return self._object(schema, above, depth)
        if kind == "array":
            return self._array(schema, above, depth)
        if kind == "string":
            length = schema.get("minLength", 0)
            self._spend(length)
            return _FORMATS.get(schema.get("format", ""), "").ljust(length, "x")
        if kind in ("number", "integer"):
            return _number(schema, whole=kind == "integer")
        return False if kind == "boolean" else None

    def _object(self, schema: Mapping[str, Any], above: frozenset[str], depth: int) -> dict[str, Any]:
        properties, required = schema.get("properties", {}), dict.fromkeys(schema.get("required", []))
        others = schema.get("additionalProperties", True)
        found = {}
        for name in {**properties, **required}:
            self._spend(len(name))
            try:
                found[name] = self.value(properties.get(name, others), above, depth)
            except _Impossible:
                if name in required:
                    raise
        return found

    def _array(self, schema: Mapping[str, Any], above: frozenset[str], depth: int) -> list[Any]:
        first, length = schema.get("prefixItems", []), schema.get("minItems", 0)
        self._spend(length)
        parts = [first[index] if index < len(first) else schema.get("items", True) for index in range(length)]
        return [self.value(part, above, depth) for part in parts]

    def _resolved(self, schema: Any, above: frozenset[str]) -> tuple[Any, frozenset[str]]:
        """A part of the schema with what it refers to in its place, and the references that it is within then."""
        self._spend(_entries(schema))
        while isinstance(schema, dict) and "$ref" in schema:
            reference = schema["$ref"]
            self._spend(len(reference))
            if reference in above:
                raise _Impossible("a schema that only endless values satisfy")
            schema = _both(self._target(reference), _without(schema, "$ref"))
            above |= {reference}
            self._spend(_entries(schema))
        return schema, above

    def _target(self, reference: str) -> Any:
        """What a reference within the schema means: "#", or "#/$defs/Name"."""
        start, *steps = reference.split("/")
        found = self._root
        try:
            for step in steps:
                name = unquote(step).replace("~1", "/").replace("~0", "~")
                found = found[int(name) if isinstance(found, list) else name]
        except (ValueError, LookupError, TypeError):
            start = ""
        if start != "#":
            raise ValueError("a reference to what is not in the schema")
        return found

    def _as_given(self, value: Any) -> Any:
        self._spend(len(orjson.dumps(value)))
        return value

    def _spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise ValueError("a schema that takes too large a value")


def _entries(schema: Any) -> int:
    """How much there is to go through in a schema, without what its parts say."""
    if isinstance(schema, bool):
        return 1
    return 1 + len(schema) + len(schema.get("properties", ())) + len(schema.get("required", ()))


def _without(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    return {name: value for name, value in schema.items() if name != keyword}


def _first_possible(make: Callable[[T], Any], options: Iterable[T]) -> Any:
    for option in options:
        try:
            return make(option)
        except _Impossible:
            continue
    raise _Impossible("a schema without an option that is possible")


def _both(one: Any, other: Mapping[str, Any]) -> Any:
    """A schema that asks for what both ask."""
    if isinstance(one, bool):
        return other if one else False
    both = {**one, **other}
    if "properties" in one and "properties" in other:
        both["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        both["required"] = [*one["required"], *other["required"]]
    return both


def _number(schema: Mapping[str, Any], whole: bool) -> float:
    """The number nearest to zero, or one within its limits where those are too odd for that."""
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    step = schema.get("multipleOf", 1)
    least, most = max(low, above), min(high, below)
    tries: list[float] = [0]
    for limit in (least, most):
        if math.isfinite(limit):
            nearest = math.floor(limit / step)
            tries += [nearest * step, (nearest + 1) * step, (nearest - 1) * step]
            tries += [] if whole or "multipleOf" in schema else [limit]
    if not whole and math.isfinite(least) and math.isfinite(most):
        tries.append((least + most) / 2)
    for found in sorted(tries, key=abs):
        if low <= found <= high and above < found < below and (not whole or found == int(found)):
            return int(found) if whole else found
    raise _Impossible("a schema that no number satisfies")
