"""Rows 14 to 23 of the hostile bodies, and that no valid object is refused."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.api.strict_json import DEEPEST, MOST_CONTAINERS, parse
from gateway.errors import InvalidRequest


def nested(depth: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


REFUSED = [
    ("empty", b"", "invalid_json"),
    ("white space", b" \n", "invalid_json"),
    ("no JSON", b"hello", "invalid_json"),
    ("truncated object", b'{"a": 1', "invalid_json"),
    ("truncated string", b'{"a": "x', "invalid_json"),
    ("truncated nested", b'{"a": [{"b": [', "invalid_json"),
    ("truncated list", b'[{"a": 1}, ', "invalid_json"),
    ("trailing bytes", b'{"a": 1} x', "invalid_json"),
    ("two documents", b'{"a": 1}{"a": 1}', "invalid_json"),
    ("a comment", b'{"a": 1} // x', "invalid_json"),
    ("trailing comma", b'{"a": 1,}', "invalid_json"),
    ("single quotes", b"{'a': 1}", "invalid_json"),
    ("control character in a string", b'{"a": "\x01"}', "invalid_json"),
    ("raw NUL in a string", b'{"abc": "\x00"}', "invalid_json"),
    ("root list", b"[1]", "invalid_type"),
    ("root list of objects", b' [{"a": 1}] ', "invalid_type"),
    ("root null", b"null", "invalid_type"),
    ("root number", b"7", "invalid_type"),
    ("root string", b'"x"', "invalid_type"),
    ("depth 33", nested(33), "json_too_deep"),
    ("depth 33 of lists", b'{"a":' + nested(32, "[", "]") + b"}", "json_too_deep"),
    ("depth 33, mixed", nested(17, '{"a":[', "]}"), "json_too_deep"),
    ("depth 1,000", nested(1000), "json_too_deep"),
    ("depth 100,000", nested(100_000, "[", "]"), "json_too_deep"),
    ("depth 100,000, never closed", b"[" * 100_000, "json_too_deep"),
    ("duplicate name", b'{"model": "a", "model": "b"}', "duplicate_key"),
    ("duplicate name, one escaped", b'{"model": "a", "mod\\u0065l": "b"}', "duplicate_key"),
    ("duplicate name deep inside", b'{"a": [{"b": {"c": 1, "c": 1}}]}', "duplicate_key"),
    ("NaN", b'{"a": NaN}', "invalid_number"),
    ("Infinity", b'{"a": Infinity}', "invalid_number"),
    ("-Infinity", b'{"a": [-Infinity]}', "invalid_number"),
    ("1e400", b'{"a": 1e400}', "invalid_number"),
    ("-1E+999", b'{"a": -1E+999}', "invalid_number"),
    ("a float of 400 digits", b'{"a": ' + b"9" * 400 + b".0}", "invalid_number"),
    ("2^63", b'{"a": 9223372036854775808}', "invalid_number"),
    ("20 digits", b'{"a": 12345678901234567890}', "invalid_number"),
    ("4,000 digits", b'{"a": ' + b"1" * 4000 + b"}", "invalid_number"),
    ("5,000 digits", b'{"a": -' + b"1" * 5000 + b"}", "invalid_number"),
    ("invalid UTF-8", b'{"a": "\xff"}', "invalid_encoding"),
    ("overlong UTF-8", b'{"a": "\xc0\xaf"}', "invalid_encoding"),
    ("an encoded surrogate", b'{"a": "\xed\xa0\x80"}', "invalid_encoding"),
    ("byte order mark", b'\xef\xbb\xbf{"a": 1}', "invalid_encoding"),
    *[(name, '{"a": 1}'.encode(name), "invalid_encoding")
      for name in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")],
    ("lone high surrogate", rb'{"a": "\ud800"}', "invalid_string"),
    ("lone low surrogate", rb'{"a": "\uDC00"}', "invalid_string"),
    ("surrogates the wrong way round", rb'{"a": "\udc00\ud800"}', "invalid_string"),
    ("a pair and a half", rb'{"a": "\ud83d\ude00\ud83d"}', "invalid_string"),
    ("lone surrogate in a name", rb'{"\ud800": 1}', "invalid_string"),
    ("NUL", rb'{"a": "x\u0000"}', "invalid_string"),
    ("NUL in a name", rb'{"\u0000": 1}', "invalid_string"),
    ("NUL after an escaped backslash", rb'{"a": "\\\u0000"}', "invalid_string"),
    ("600,000 values", b'{"a": [' + b"1," * 600_000 + b"1]}", "invalid_value"),
    ("1,200,000 quotes", b'{"a": 1' + b'"' * 1_200_000 + b"}", "invalid_value"),
    ("1 MB of objects", b"{}," * 333_333, "invalid_value"),
    ("1 MB of objects in a list", b"[" + b"{}," * 333_333 + b"{}]", "invalid_type"),
    ("1 MB of objects in a field", b'{"a": [' + b"{}," * 333_333 + b"{}]}", "invalid_value"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_hostile_body_is_refused_with_its_code(body: bytes, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert caught.value.code == code
    assert caught.value.status == 400
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "body",
    [
        nested(DEEPEST),
        rb'{"a": "\\u0000 \\ud800 \\\\"}',
        rb'{"a": "\ud83d\ude00", "b": "\u00e9"}',
        b'{"a": "NaN 1e400 [[[[ 12345678901234567890 {\\"a\\":1,\\"a\\":2}"}',
        b'{"a": 9223372036854775807, "b": -9223372036854775808, "c": 0.12345678901234567890123, "d": 1e-400}',
        b'{"a": "' + b"[" * 100_000 + b'"}',
        b'{"": {"": ""}}',
        b'{"a": [' + b"1e1," * 250_000 + b"1]}",
        b'{"a": "' + b'\\"' * 600_000 + b'"}',
    ],
)
def test_what_only_looks_hostile_is_taken(body: bytes) -> None:
    assert parse(body) == json.loads(body)


@pytest.mark.parametrize("wrap", [b"%s", b"[%s{}]", b'{"a": [%s{}]}'])
def test_a_megabyte_of_objects_costs_little_memory(wrap: bytes) -> None:
    body = wrap % (b"{}," * 333_333)
    tracemalloc.start()
    with pytest.raises(InvalidRequest):
        parse(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(_text, _value, max_size=5), st.booleans(), st.sampled_from([None, 2]))
@example({'a"b\\': ['\\"', "\\", '"', "{[", "]}"]}, True, None)
def test_every_sound_object_is_taken_as_it_is(document: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    assert parse(body) == document


@given(st.binary(max_size=60) | st.text('{}[]",:\\u0d8aeE1.- \n', max_size=40).map(str.encode))
def test_any_bytes_give_an_object_or_a_refusal(body: bytes) -> None:
    try:
        document = parse(body)
    except InvalidRequest:
        return
    assert document == json.loads(body)
    assert len(body) < MOST_CONTAINERS
