"""The form of a kept answer: a line of JSON that names its own key, then the answer in its own dialect; read as
strictly as if a stranger had written it."""

from __future__ import annotations

from dataclasses import astuple, replace
from functools import lru_cache
from typing import get_args

import orjson

from gateway.model import Answer, Completion, Dialect, Operation, Target, Usage
from gateway.wire.dialects import read_whole
from gateway.wire.replay import can_be_replayed

_TYPES = (str, str, list, str, str, str)
_TOKENS = 5
_SMALL, _MOST_KNOWN = 16_384, 256  # bytes and entries that a process has read: some 10 MB at most

# Answers that ended by themselves; one that a filter cut, or that ended nobody knows why, is not given twice.
_WHOLE = frozenset({"stop", "length", "tool_calls", "function_call"})


class Corrupt(Exception):
    """What was kept is not what was written."""


def may_be_kept(completion: Completion) -> bool:
    """Whether the answer is all there, and can be given as a stream too."""
    if not completion.body or not _WHOLE.issuperset(completion.finish_reasons):
        return False
    return _can_be_written(completion.body) if completion.dialect == "openai" else can_be_replayed(completion)


def _can_be_written(body: bytes) -> bool:
    try:
        orjson.dumps(orjson.loads(body))
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return False  # nested deeper than JSON can be written
    return True


def encode(key: str, operation: Operation, answer: Answer) -> bytes:
    """The entry for `answer` under `key`."""
    usage, completion = astuple(answer.usage)[:_TOKENS], answer.completion
    head = orjson.dumps([key, operation, usage, answer.target.provider, answer.target.model, completion.dialect])
    return head + b"\n" + completion.body


def decode(key: str, entry: bytes) -> Answer:
    """The answer under `key`, which costs nothing any more.

    Raises:
        Corrupt: these are not the bytes of an answer under this key.
    """
    return _known(key, entry) if len(entry) <= _SMALL else _read(key, entry)


@lru_cache(_MOST_KNOWN)
def _known(key: str, entry: bytes) -> Answer:
    """The same, read once: what is asked for again and again stays as it is."""
    return _read(key, entry)


def _read(key: str, entry: bytes) -> Answer:
    head, _, body = entry.partition(b"\n")
    try:
        parts = orjson.loads(head)
        if type(parts) is not list or tuple(map(type, parts)) != _TYPES or parts[0] != key:
            raise Corrupt
        if parts[5] not in get_args(Dialect):
            raise Corrupt
        completion = read_whole(parts[1], body, parts[5])
    except ValueError:
        raise Corrupt from None
    _, _, tokens, provider, model, _ = parts
    if len(tokens) != _TOKENS or any(type(count) is not int or count < 0 for count in tokens):
        raise Corrupt
    if not may_be_kept(completion):
        raise Corrupt
    usage = replace(Usage(*tokens), source="cache")
    return Answer(replace(completion, usage=usage), usage, 0, Target(provider, model), cached=True)
