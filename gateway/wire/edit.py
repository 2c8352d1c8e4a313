"""Changes single fields of a JSON object in its own bytes, so that all others leave exactly as they came."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import orjson

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_SIMPLE = re.compile(_STRING + rb"|[-+.\w]++", re.DOTALL)  # a string, a number or a word
_EMPTY = re.compile(rb"\s*\{\s*\}\s*")
_BRACKET = re.compile(rb'(?:[^][{}"]++|' + _STRING + rb")*+([][{}])", re.DOTALL)


def edited(body: bytes, changes: Mapping[str, Any]) -> bytes:
    """`body` with these fields set, each where it stood, or at the end.

    Args:
        body: one JSON object, no name in it twice.
        changes: new values by field.
    """
    if not changes:
        return body
    pieces: list[tuple[int, int, bytes]] = []
    missing: dict[str, Any] = {}
    for name, value in changes.items():
        if found := _span(body, name):
            pieces.append((*found, orjson.dumps(value)))
        else:
            missing[name] = value
    if missing:
        end, comma = body.rindex(b"}"), b"" if _EMPTY.fullmatch(body) else b","
        pieces.append((end, end, comma + orjson.dumps(missing)[1:-1]))
    parts, at = [], 0
    for start, end, new in sorted(pieces):
        parts += [body[at:start], new]
        at = end
    return b"".join([*parts, body[at:]])


def appended(body: bytes, fields: Mapping[str, Any]) -> bytes:
    """`body`, one JSON object that holds something, with these fields, none of which stands in it."""
    return b"%b,%b" % (body[:-1], orjson.dumps(fields)[1:]) if fields else body


def _span(body: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of the object's own field `name` begins and ends. How deep a name stands tells what is before it
    as well as what is after it, and the shorter of both is looked at: so each byte is, twice at most."""
    at, depth = 0, 0
    for found in _key(name).finditer(body):
        start = found.start()
        if _is_escaped(body, at, start):
            continue  # within a string; any other quote that a name follows begins one
        if start - at <= len(body) - start:
            depth += _opened(body[at:start])
        else:
            depth = -_opened(body[start:])
        at = start
        if depth == 1:
            return found.end(), _end(body, found.end())
    return None


def _is_escaped(body: bytes, since: int, at: int) -> bool:
    """Whether an odd number of backslashes stands before `at`, none of them before `since`. No more is looked at than
    some times their number."""
    width = 8
    while True:
        before = body[max(since, at - width) : at]
        count = len(before) - len(before.rstrip(b"\\"))
        if count < width:
            return count % 2 == 1
        width *= 8


def _opened(part: bytes) -> int:
    """How many brackets more are opened than closed in a part of JSON that no string reaches into or out of."""
    if b"\\" in part:  # else even to look for pairs of bytes takes most of the time
        part = part.replace(b"\\\\", b"").replace(b'\\"', b"")
    outside = b"".join(part.split(b'"')[::2])
    return outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")


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
