"""OpenAI's answers, whole and in chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.model import Usage
from gateway.wire.openai import read_usage, read_whole, without_usage
from tests.fakes.upstream import completion


@pytest.mark.parametrize(
    ("content", "text"),
    [("", ""), (None, ""), ([{"type": "text", "text": "a"}, {"type": "x"}, {"type": "text", "text": "b"}], "ab")],
)
def test_an_answer_without_text_or_in_parts_is_understood(content: Any, text: str) -> None:
    assert read_whole("chat", json.dumps(completion(content)).encode()).text == text


@pytest.mark.parametrize(
    ("reported", "beside", "usage"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, False, Usage(9, 3)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, False, Usage(0, 0)),
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16,
             "completion_tokens_details": {"reasoning_tokens": 5}}, False, Usage(9, 7, reasoning_tokens=5),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 7, "prompt_cache_hit_tokens": 4}, False, Usage(9, 7, cached_tokens=4)),
        ({"prompt_tokens": 9, "completion_tokens": 7, "cached_tokens": 4}, False, Usage(9, 7, cached_tokens=4)),
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 6}},
            False, Usage(9, 7, cached_tokens=6, cache_write_tokens=3),
        ),
        # xAI: reasoning beside the completion; Gemini: not even named
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 21,
             "completion_tokens_details": {"reasoning_tokens": 5}}, True, Usage(9, 12, reasoning_tokens=5),
        ),
        ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, True, Usage(35, 74, reasoning_tokens=62)),
        ({"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}, True, Usage(9, 7)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None}, False, Usage(9, 3)),
        ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 99}}, False, Usage(9, 3, cached_tokens=9)),
        ({"prompt_tokens": -1, "completion_tokens": 3}, False, None),
        ({"prompt_tokens": 10**18, "completion_tokens": 3}, False, None),
        ({"prompt_tokens": 1.5, "completion_tokens": 3}, False, None),
        ({"prompt_tokens": True, "completion_tokens": 3}, False, None),
        ({"prompt_tokens": "9", "completion_tokens": 3}, False, None),
        ({"completion_tokens": 9}, False, None),
        ({"prompt_tokens": 9}, False, Usage(9, 0)),  # of embeddings
        ({}, False, None),
        ([], False, None),
        (None, False, None),
    ],
)  # fmt: skip
def test_every_vendors_usage_is_normalised_and_a_lying_one_refused(
    reported: Any, beside: bool, usage: Usage | None
) -> None:
    assert read_usage(reported, beside) == usage


@pytest.mark.parametrize("around", [b"", b'data: {"choices": [{"delta": {}}]}\n\n'])
def test_the_usage_is_taken_out_wherever_its_event_is_in_a_block(around: bytes) -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n\n'
    assert without_usage(around + usage + around) == around + around
    assert without_usage(usage + usage) == b""
