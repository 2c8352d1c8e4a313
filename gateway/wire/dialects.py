"""Whole answers in any dialect: what they say, and the same in OpenAI's chat."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.model import Completion, Dialect, Operation, Usage
from gateway.wire import anthropic_answers, openai, responses_answers


def read_whole(operation: Operation, body: bytes, dialect: Dialect = "openai") -> Completion:
    """What an answer says.

    Args:
        operation: what was asked for.
        body: the answer.
        dialect: of the body.

    Raises:
        ValueError: it is no answer in this dialect.
    """
    if dialect == "openai":
        return openai.read_whole(operation, body)
    openai.check_parts(body)
    document = orjson.loads(body)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    usage = _usage(document.get("usage"), dialect)
    found = openai.read_choices(as_chat(document, dialect), body, usage)
    misreported, unfinished = usage is None and document.get("usage") is not None, found.finish_reasons == (None,)
    return replace(found, dialect=dialect, misreported=misreported, unfinished=unfinished)


def as_chat(document: Mapping[str, Any], dialect: Dialect) -> Mapping[str, Any]:
    """An answer in `dialect` as a chat completion. Raises ValueError where it is none."""
    if dialect == "openai":
        return document
    made = anthropic_answers.to_chat if dialect == "anthropic" else responses_answers.to_chat
    return made(document, int(time.time()))


def translated(completion: Completion) -> Completion:
    """The same completion, its body a chat completion."""
    if completion.dialect == "openai" or not completion.body:
        return completion
    body = orjson.dumps(as_chat(orjson.loads(completion.body), completion.dialect))
    return replace(completion, body=body, dialect="openai")


def _usage(reported: Any, dialect: Dialect) -> Usage | None:
    read = anthropic_answers.read_usage if dialect == "anthropic" else responses_answers.read_usage
    return read(reported)
