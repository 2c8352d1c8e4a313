"""Changes single fields of a JSON object in its own bytes, so that all others leave exactly as they came."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

# A value that can be replaced in place: a string, a number or a word, or an object without another inside.
_VALUE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[-+.\w]++|\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+")*+\}', re.DOTALL)
_COLON = re.compile(rb"\s*+:\s*+")


def edited(body: bytes, changes: Mapping[str, Any]) -> bytes:
    """`body` with these fields set, each where it stood, or at the end.

    Args:
        body: one JSON object, no name in it twice.
        changes: new values by field.
    """
    missing: dict[str, Any] = {}
    for name, value in changes.items():
        found = _span(body, name)
        if found:
            body = body[: found[0]] + orjson.dumps(value) + body[found[1] :]
        else:
            missing[name] = value
    if not missing:
        return body
    document = orjson.loads(body)
    if document.keys() & missing.keys():  # written with escapes, or with a value of a shape that nobody sends
        return orjson.dumps(document | missing)
    head = body.rstrip()[:-1].rstrip()
    return head + (b"," if document else b"") + orjson.dumps(missing)[1:]


def _span(body: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of the object's own field `name` begins and ends."""
    quoted = b'"%b"' % name.encode()
    start = body.find(quoted)
    while start >= 0:
        colon = _COLON.match(body, start + len(quoted))
        value = colon and _VALUE.match(body, colon.end())
        if value and _is_top_level(body[:start]):
            return value.span()
        start = body.find(quoted, start + 1)
    return None


def _is_top_level(before: bytes) -> bool:
    """Whether what follows `before` stands in the outermost object, and in no string."""
    unescaped = before.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in before else before
    parts = unescaped.split(b'"')
    if len(parts) % 2 == 0:
        return False
    outside = b"".join(parts[::2])
    opened = outside.count(b"{") + outside.count(b"[")
    return opened - outside.count(b"}") - outside.count(b"]") == 1
