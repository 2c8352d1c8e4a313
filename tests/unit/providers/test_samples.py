"""Instances of JSON schemas: valid, small, and never endless."""

from __future__ import annotations

import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.samples import sample

limits = st.integers(-50, 50)
leaves = st.one_of(
    st.just({}),
    st.just(True),
    st.sampled_from([{"type": kind} for kind in ("string", "number", "integer", "boolean", "null", "object", "array")]),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers(-(2**63), 2**63 - 1) | st.text(max_size=3), min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, st.none() | st.booleans() | st.text(max_size=3)),
    st.builds(lambda length: {"type": "string", "minLength": length, "maxLength": length + 40}, st.integers(0, 20)),
    st.builds(lambda name: {"type": "string", "format": name}, st.sampled_from(["date", "uuid", "email", "unknown"])),
    st.builds(
        lambda kind, name, low, room: {"type": kind, "minimum": low, name: low + room},
        st.sampled_from(["integer", "number"]), st.sampled_from(["maximum", "exclusiveMaximum"]), limits, st.integers(2, 9),
    ),
    st.builds(
        lambda low, step: {"type": "integer", "exclusiveMinimum": low, "multipleOf": step}, limits, st.integers(1, 9)
    ),
    st.builds(
        lambda low, room: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + room},
        limits, st.floats(0.01, 3),
    ),
    st.just({"$ref": "#/$defs/leaf"}),
    st.just({"$ref": "#/$defs/list~1of"}),
    st.just({"$ref": "#/$defs/tree"}),
)  # fmt: skip
names = st.sampled_from(["a", "b", "c"])


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(
            lambda properties, required, more: {
                "type": "object", "properties": properties, "required": required, "additionalProperties": more,
            },
            st.dictionaries(names, inner, max_size=3), st.just([]), st.booleans(),
        ),
        st.builds(
            lambda properties: {"type": ["object", "null"], "properties": properties, "required": [*properties],
                                "additionalProperties": False},
            st.dictionaries(names, inner, max_size=3),
        ),
        st.builds(lambda item, least: {"type": "array", "items": item, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(lambda items: {"type": "array", "prefixItems": items, "minItems": len(items) + 1}, st.lists(inner, max_size=2)),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"allOf": [part, {"description": "the same"}]}, inner),
    )  # fmt: skip


DEFS = {
    "leaf": {"type": "string", "minLength": 2},
    "list/of": {"type": "array", "items": {"$ref": "#/$defs/leaf"}, "minItems": 1},
    "tree": {
        "type": "object",
        "properties": {
            "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            "right": {"oneOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            "maybe": {"$ref": "#/$defs/tree"},
            "trees": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        },
        "required": ["left", "right", "trees"],
    },
}


@given(st.recursive(leaves, containers, max_leaves=8))
def test_an_instance_is_valid_and_the_same_each_time(schema: Any) -> None:
    schema = {**schema, "$defs": DEFS} if isinstance(schema, dict) else schema
    found = sample(schema)
    jsonschema.Draft202012Validator(schema).validate(found)
    assert found == sample(schema)


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}, {"a": "", "b": 0}),
        ({"type": "object", "required": ["a"]}, {"a": None}),
        ({"type": "integer", "default": 7}, 7),
        ({"type": ["string", "null"]}, ""),
        ({"minimum": 1.5}, 1.5),
        ({"type": "number", "minimum": 1.5, "maximum": 1.6}, 1.5),
        ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "string", "format": "date"}, "2025-01-01"),
        ({"oneOf": [False, {"type": "boolean"}]}, False),
        ({"$ref": "#/definitions/a%20b", "definitions": {"a b": {"enum": ["x", "y"]}}}, "x"),
        (
            {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
             "$defs": {name: {"type": "object", "properties": {name: {}}, "required": [name]} for name in "ab"}},
            {"a": None, "b": None},
        ),
    ],
)  # fmt: skip
def test_an_instance_is_the_least_that_will_do(schema: Any, found: Any) -> None:
    assert sample(schema) == found
    jsonschema.Draft202012Validator(schema).validate(found)


def within(levels: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema, "minItems": 1}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#"},
        {"required": ["more"], "properties": {"more": {"$ref": "#"}}},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "string", "minLength": 10**12},
        {"type": "array", "minItems": 10**12},
        {"type": "array", "minItems": 90_000, "items": {"const": "x" * 1000}},
        {"type": "array", "minItems": 90_000, "items": {"properties": {"x" * 1000: {}}}},
        {"type": "array", "minItems": 90_000, "items": {"$ref": "#/$defs/a"}, "$defs": {"a": {str(n): 0 for n in range(10_000)}}},
        {"type": "array", "minItems": 90_000, "items": {"anyOf": [False] * 10_000}},
        {"type": ["integer"] * 1_000_000, "minimum": 3, "maximum": 2},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/$defs/nothing"},
        {"$ref": "#/type/0", "type": "string"},
        {"$ref": "#/$defs/0", "$defs": {**{str(n): {"prefixItems": [{"$ref": f"#/$defs/{n + 1}"}] * 9, "minItems": 9} for n in range(20)}, "20": {}}},
        within(101),
    ],
)  # fmt: skip
def test_what_has_no_instance_of_a_sensible_size_is_an_error_at_once(schema: Any) -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match="schema"):
        sample(schema)
    assert time.monotonic() - started < 1
