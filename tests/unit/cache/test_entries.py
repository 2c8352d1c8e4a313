"""What comes out of the cache is what went in, or it is refused."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from gateway.cache.entries import Corrupt, decode, encode
from gateway.model import Answer, Completion, Target, Usage

KEY = "0" * 64
USAGE = Usage(5, 4, 3, 2, 1)
BOUGHT = Answer(Completion("text ü", "stop", USAGE, "upstream-1"), USAGE, 42, Target("openai", "gpt-4o-mini"))


def test_an_answer_comes_back_as_one_that_costs_nothing_any_more() -> None:
    kept = decode(KEY, encode(KEY, BOUGHT))
    assert (kept.completion.text, kept.completion.finish_reason, kept.target) == ("text ü", "stop", BOUGHT.target)
    assert kept.usage == Usage(5, 4, 3, 2, 1, source="cache")
    assert (kept.cost_nano, kept.cached) == (0, True)


def changed(index: int, value: Any) -> bytes:
    parts = json.loads(encode(KEY, BOUGHT))
    parts[index] = value
    return json.dumps(parts).encode()


@pytest.mark.parametrize(
    "entry",
    [
        b"", b"\x00", b"null", b"{}", b"[]", encode(KEY, BOUGHT)[:-1], encode("1" * 64, BOUGHT), pickle.dumps(BOUGHT),
        changed(1, None), changed(1, 5), changed(2, "content_filter"), changed(3, [1, 2, 3, 4]),
        changed(3, [1, 2, 3, 4, -1]), changed(3, [1, 2, 3, 4, 1.5]), changed(3, [1, 2, 3, 4, True]),
        changed(3, {"a": 1}), changed(4, ["x"]), changed(5, 7),
    ],
)  # fmt: skip
def test_anything_else_is_corrupt(entry: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(KEY, entry)
