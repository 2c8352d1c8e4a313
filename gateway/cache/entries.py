"""The form of a kept answer: JSON that names its own key, read as strictly as if a stranger had written it."""

from __future__ import annotations

from dataclasses import astuple, replace

import orjson

from gateway.model import Answer, Completion, Target, Usage

# Answers that ended by themselves; one that a filter cut, or that ended nobody knows why, is not given twice.
WHOLE = frozenset({"stop", "length", "tool_calls"})

_TYPES = (str, str, str, list, str, str)
_TOKENS = 5


class Corrupt(Exception):
    """What was kept is not what was written."""


def encode(key: str, answer: Answer) -> bytes:
    """The entry for `answer` under `key`."""
    usage = astuple(answer.usage)[:_TOKENS]
    target, completion = answer.target, answer.completion
    return orjson.dumps([key, completion.text, completion.finish_reason, usage, target.provider, target.model])


def decode(key: str, entry: bytes) -> Answer:
    """The answer under `key`, which costs nothing any more.

    Raises:
        Corrupt: these are not the bytes of an answer under this key.
    """
    try:
        parts = orjson.loads(entry)
    except orjson.JSONDecodeError:
        raise Corrupt from None
    if type(parts) is not list or tuple(map(type, parts)) != _TYPES or parts[0] != key or parts[2] not in WHOLE:
        raise Corrupt
    _, text, finish_reason, tokens, provider, model = parts
    if len(tokens) != _TOKENS or any(type(count) is not int or count < 0 for count in tokens):
        raise Corrupt
    usage = replace(Usage(*tokens), source="cache")
    return Answer(Completion(text, finish_reason, usage), usage, 0, Target(provider, model), cached=True)
