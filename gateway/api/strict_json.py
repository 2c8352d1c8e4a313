"""JSON objects, read more strictly than JSON parsers do.

orjson parses; what it lets pass is found beforehand by counting in the body's skeleton, which is the body without
the insides of its strings. Every step is a pass of C code over the bytes, so that hostile input costs little.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from gateway.errors import InvalidRequest

DEEPEST = 32
MOST_CONTAINERS = 50_000  # objects and arrays; each takes some 60 bytes of memory when parsed
MOST_VALUES = 500_000  # also strings; OpenAI takes embeddings of 300,000 token numbers, the longest list there is
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_BRACES = bytes.maketrans(b"[]", b"{}")
_PAIR = re.compile(rb"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}", re.IGNORECASE)
_SURROGATE = re.compile(rb"\\ud[89a-f]", re.IGNORECASE)
_LONG_INTEGER = re.compile(rb"(?<![0-9.eE+-])-?[0-9]{19,}(?![0-9.eE])")
_DIGITS_TO_ONES = bytes.maketrans(b"0123456789", b"1" * 10)
_19_DIGITS = b"1" * 19  # 2**63 has as many


def parse(body: bytes) -> dict[str, Any]:
    """Parse one JSON object. Raises InvalidRequest with the code that says what is wrong."""
    _check_encoding(body)
    skeleton = _skeleton(_unescaped(body) if b"\\" in body else body)
    brackets = skeleton.translate(_AS_BRACES, _NOT_BRACKETS)
    _check_depth(brackets[: 2 * MOST_CONTAINERS])
    _check_integers(skeleton)
    if skeleton.lstrip()[:1] == b"[" and skeleton.rstrip().endswith(b"]"):  # told without building what may be large
        raise InvalidRequest("The body must be a JSON object, not an array.", code="invalid_type")
    if len(brackets) > 2 * MOST_CONTAINERS:
        raise _too_many("objects and arrays", MOST_CONTAINERS)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in skeleton or b"Infinity" in skeleton or "infinity" in error.msg:
            raise InvalidRequest("A number is not finite.", code="invalid_number") from None
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise InvalidRequest("The body must be a JSON object.", code="invalid_type")
    if _entries(document) != skeleton.count(b":"):
        document.clear()  # its memory is needed no more: the body is read once again for the name that stands twice
        json.loads(body, object_pairs_hook=_refuse_duplicates)
    return document


def _skeleton(unescaped: bytes) -> bytes:
    """The body with the insides of its strings taken out, `""` for each; refused where it has too many parts."""
    if unescaped.count(b'"') > 2 * MOST_VALUES:
        raise _too_many("strings", MOST_VALUES)
    skeleton = b'""'.join(unescaped.split(b'"')[::2])
    if skeleton.count(b",") > MOST_VALUES:
        raise _too_many("values", MOST_VALUES)
    return skeleton


def _too_many(what: str, most: int) -> InvalidRequest:
    return InvalidRequest(f"The body holds more than {most} {what}.", code="invalid_value")


def _check_encoding(body: bytes) -> None:
    if body.startswith(b"\xef\xbb\xbf") or b"\x00" in body[:4]:
        raise InvalidRequest("The body must be UTF-8 without a byte order mark.", code="invalid_encoding")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"The body is not valid UTF-8 at byte {error.start}.", code="invalid_encoding"
            ) from None


def _unescaped(body: bytes) -> bytes:
    r"""The body without its escaped backslashes and quotes; refused where it has `\u0000` or half a surrogate pair."""
    unescaped = body.replace(b"\\\\", b"")
    if rb"\u0000" in unescaped:
        raise InvalidRequest(r"A string holds \u0000, which the gateway does not take.", code="invalid_string")
    if _SURROGATE.search(unescaped) and _SURROGATE.search(_PAIR.sub(b"", unescaped)):
        raise InvalidRequest("A string holds half a surrogate pair, which is no character.", code="invalid_string")
    return unescaped.replace(b'\\"', b"")


def _check_depth(brackets: bytes) -> None:
    """Take the innermost pairs of braces away, one level a round."""
    for _ in range(DEEPEST):
        outer = brackets.replace(b"{}", b"")
        if outer == brackets:
            break
        brackets = outer
    if b"{}" in brackets or brackets.count(b"{") > DEEPEST:
        raise InvalidRequest(f"The body is nested deeper than {DEEPEST} levels.", code="json_too_deep")


def _check_integers(skeleton: bytes) -> None:
    if _19_DIGITS not in skeleton.translate(_DIGITS_TO_ONES):
        return
    for number in _LONG_INTEGER.findall(skeleton):
        if len(number) > 20 or not -(2**63) <= int(number) < 2**63:
            raise InvalidRequest("An integer has more than 64 bits.", code="invalid_number")


def _entries(document: Any) -> int:
    """How many names all objects of the document have together."""
    count, pending = 0, [document]
    while pending:
        node = pending.pop()
        if type(node) is dict:
            count += len(node)
            pending.extend(node.values())
        elif type(node) is list:
            pending.extend(node)
    return count


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise InvalidRequest("The body gives one name twice in an object.", param=name[:64], code="duplicate_key")
        names.add(name)
