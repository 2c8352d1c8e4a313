"""Changes single fields of a JSON object in its own bytes, so that all others leave exactly as they came."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

# A value that can be replaced in place: a string, a number or a word, or an object without another inside.
_VALUE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[-+.\w]++|\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+")*+\}', re.DOTALL)


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
    """Where the value of the object's own field `name` begins and ends. Each byte is looked at once."""
    depth, in_string, escaped, at = 0, False, False, 0
    for found in re.finditer(rb'"%b"\s*+:\s*+' % re.escape(name.encode()), body):
        passed = body[at + escaped : found.start()].replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = passed.split(b'"')
        outside = b"".join(parts[in_string::2])
        depth += outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")
        in_string ^= len(parts) % 2 == 0
        escaped, at = passed.endswith(b"\\"), found.start()
        if depth == 1 and not in_string and (value := _VALUE.match(body, found.end())):
            return value.span()
    return None
