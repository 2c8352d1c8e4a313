"""A field of a JSON object is changed in its bytes, and nothing else of it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.edit import appended, edited

CHANGES = {"model": "gpt-4o-mini", "stream_options": {"include_usage": True}}
names = st.sampled_from(["model", "stream_options", 'a"model', "model\\", "x", "é", '{"model": "', '\\"model'])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(-9, 9) | names | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "result"),
    [
        ('{"model":"fast"}', '{"model":"gpt"}'),
        ('{"model": null , "n":1.0}', '{"model": "gpt" , "n":1.0}'),
        ('{"a":[{"model":"x"}], "model"\n:\t"fast" }', '{"a":[{"model":"x"}], "model"\n:\t"gpt" }'),
        ('{"a":"\\"model\\":\\"x\\"","model":"fast"}', '{"a":"\\"model\\":\\"x\\"","model":"gpt"}'),
        ('{"a":"\\\\","model":"fast"}', '{"a":"\\\\","model":"gpt"}'),
        ('{"a":"model","b":1e2}', '{"a":"model","b":1e2,"model":"gpt"}'),
        ("{}", '{"model":"gpt"}'),
        (' { } \n', ' { "model":"gpt"} \n'),
        ('{"a":1 }', '{"a":1 ,"model":"gpt"}'),
        ('{"a":"\\"model","b":[2],"model":"fast","c":"}]"}', '{"a":"\\"model","b":[2],"model":"gpt","c":"}]"}'),
        ('{"\\"model":1,"b":"\\\\\\"model","model":"fast"}', '{"\\"model":1,"b":"\\\\\\"model","model":"gpt"}'),
        ('{"a":1,"mod\\u0065l":"fast"}', '{"a":1,"mod\\u0065l":"gpt"}'),
        ('{"model":{"a":[{"b":"}"}]}, "c":1.50}', '{"model":"gpt", "c":1.50}'),
    ],
)  # fmt: skip
def test_a_field_is_set_where_it_stood_or_at_the_end(body: str, result: str) -> None:
    assert edited(body.encode(), {"model": "gpt"}).decode() == result


@given(
    st.dictionaries(names, values, max_size=5),
    st.sampled_from([None, 2]),
    st.booleans(),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
)
def test_whatever_else_stands_in_a_body_it_means_what_it_meant_with_the_fields_changed(
    document: dict[str, Any], indent: int | None, ascii_only: bool, separators: tuple[str, str]
) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=ascii_only, separators=separators).encode()
    assert json.loads(edited(body, CHANGES)) == document | CHANGES


@given(
    st.dictionaries(st.text(max_size=5).filter(lambda name: name != "model"), values, max_size=5),
    values,
    st.sampled_from(['"model"', '"\\u006dodel"', '"mod\\u0065\\u006C"']),
    st.booleans(),
)
def test_what_stands_around_the_field_stays_byte_for_byte(
    document: dict[str, Any], old: Any, spelled: str, first: bool
) -> None:
    rest = [json.dumps(document)[1:-1]] if document else []

    def body(value: str) -> str:
        field = f"{spelled} : {value}"
        return "{ " + ", ".join([field, *rest] if first else [*rest, field]) + "\n}"

    assert edited(body(json.dumps(old)).encode(), {"model": "m"}).decode() == body('"m"')


@pytest.mark.parametrize(
    "again",
    [
        b'{"model":1},',
        b'"model",',
        b'"\\"model\\":",',
        b'{"model":{"a":1}},',
        b'{"\\\\\\"model":1},',
        b'{"' + b"\\" * 21 + b'"model":1},',
    ],
)
def test_the_work_grows_with_the_body_and_not_with_its_square(again: bytes) -> None:
    def seconds(times: int) -> float:
        body = b'{"a":[' + again * times + b'0],"model":"x"}'
        started = time.process_time()
        edited(body, CHANGES)
        return time.process_time() - started

    assert seconds(40_000) < 50 * max(seconds(4_000), 0.01)  # 10 times the body; the square would be 100 times


def test_fields_that_are_known_to_be_none_of_it_are_put_at_its_end() -> None:
    assert appended(b'{"a": [1]}', {"b": True}) == b'{"a": [1],"b":true}'
    assert appended(b'{"a": [1]}', {}) == b'{"a": [1]}'
