"""What comes out of the cache is what went in, or it is refused."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from gateway.cache.entries import Corrupt, decode, encode
from gateway.model import Answer, Target, Usage
from gateway.wire.openai import read_whole
from tests.fakes.upstream import completion

KEY = "0" * 64
USAGE = Usage(5, 4, 3, 2, 1)
BODY = json.dumps(completion("text ü\n\n")).encode()
BOUGHT = Answer(read_whole("chat", BODY), USAGE, 42, Target("openai", "gpt-4o-mini"))
ENTRY = encode(KEY, "chat", BOUGHT)


def test_an_answer_comes_back_as_one_that_costs_nothing_any_more() -> None:
    kept = decode(KEY, ENTRY)
    assert (kept.completion.body, kept.completion.text, kept.target) == (BODY, "text ü\n\n", BOUGHT.target)
    assert kept.usage == Usage(5, 4, 3, 2, 1, source="cache")
    assert (kept.cost_nano, kept.cached) == (0, True)


def changed(index: int, value: Any) -> bytes:
    head, _, body = ENTRY.partition(b"\n")
    parts = json.loads(head)
    parts[index] = value
    return json.dumps(parts).encode() + b"\n" + body


def answering(answer: Any) -> bytes:
    return ENTRY.partition(b"\n")[0] + b"\n" + json.dumps(answer).encode()


def ended(reason: str | None) -> dict[str, Any]:
    return completion("x", choices=[{"index": 0, "message": {"content": "x"}, "finish_reason": reason}])


@pytest.mark.parametrize(
    "entry",
    [
        b"", b"\x00", b"null", b"{}", b"[]", ENTRY[:-1], encode("1" * 64, "chat", BOUGHT), pickle.dumps(BOUGHT),
        changed(1, None), changed(1, 5), changed(2, [1, 2, 3, 4]), changed(2, [1, 2, 3, 4, -1]),
        changed(2, [1, 2, 3, 4, 1.5]), changed(2, [1, 2, 3, 4, True]), changed(2, {"a": 1}), changed(3, ["x"]),
        changed(4, 7), answering(None), answering([]), answering({}), answering({"choices": []}),
        answering({"choices": [{"message": {"content": 5}}]}), answering(ended("content_filter")),
        answering(ended(None)), answering(ended("error")),
    ],
)  # fmt: skip
def test_anything_else_is_corrupt(entry: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(KEY, entry)
