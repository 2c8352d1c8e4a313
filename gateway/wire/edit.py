"""Changes single fields of a JSON object in its own bytes, so that all others leave exactly as they came."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import orjson

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_SIMPLE = re.compile(_STRING + rb"|[-+.\w]++", re.DOTALL)  # a string, a number or a word
_BRACKET = re.compile(rb'(?:[^][{}"]++|' + _STRING + rb")*+([][{}])", re.DOTALL)


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
    head = body.rstrip()[:-1].rstrip()
    return head + (b"" if head.endswith(b"{") else b",") + orjson.dumps(missing)[1:]


def _span(body: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of the object's own field `name` begins and ends. Each byte is looked at once."""
    depth, in_string, escaped, at = 0, False, False, 0
    for found in _key(name).finditer(body):
        passed = body[at + escaped : found.start()]
        if b"\\" in passed:  # else even to look for pairs of bytes takes most of the time
            passed = passed.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = passed.split(b'"')
        outside = b"".join(parts[in_string::2])
        depth += outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")
        in_string ^= len(parts) % 2 == 0
        escaped, at = passed.endswith(b"\\"), found.start()
        if depth == 1 and not in_string:
            return found.end(), _end(body, found.end())
    return None


@functools.cache
def _key(name: str) -> re.Pattern[bytes]:
    """A field's name and the colon behind it, each of its characters written out or escaped."""
    spellings = (rb"(?:%b|\\u(?i:%04x))" % (re.escape(letter).encode(), ord(letter)) for letter in name)
    return re.compile(rb'"' + b"".join(spellings) + rb'"\s*+:\s*+')


def _end(body: bytes, start: int) -> int:
    """Where the value that begins at `start` ends."""
    if simple := _SIMPLE.match(body, start):
        return simple.end()
    depth = 0
    for found in _BRACKET.finditer(body, start):
        depth += 1 if found[1] in b"[{" else -1
        if not depth:
            return found.end()
    raise ValueError("a value without an end")
