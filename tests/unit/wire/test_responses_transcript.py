"""A transcript of a stream has all of it, as far as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire import responses_answers
from gateway.wire.responses_transcript import ResponseTranscript
from tests.fakes import responses_answers as fake

ASKED = [
    {"model": "gpt-4o", "input": "Hi"},
    {"model": "gpt-4o", "input": "Hi", "max_output_tokens": 2},
    {"model": "gpt-4o", "input": f"Please {fake.REFUSED}"},
    {"model": "gpt-5", "input": "Hi", "reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]},
    {"model": "gpt-5", "input": "Hi", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}]},
]


@pytest.mark.parametrize("body", ASKED, ids=str)
def test_a_transcript_has_the_response_of_the_last_event_and_before_it_what_came(body: dict[str, Any]) -> None:
    *events, last = map(json.loads, fake.events(body, 1))
    transcript = ResponseTranscript()
    for event in events:
        transcript.add(event)
    broken = transcript.completion()
    assert (broken.body, broken.usage, broken.finish_reasons) == (b"", None, (None,))
    transcript.add(last)
    whole = transcript.completion()
    assert json.loads(whole.body) == fake.answer(body, 1)
    assert (whole.text, len(whole.generated)) == (broken.text, transcript.generated)
    assert sorted(whole.generated) == sorted(broken.generated)
    assert whole.usage == responses_answers.read_usage(last["response"]["usage"])
    assert (whole.finish_reasons, whole.dialect) == ((responses_answers.finish_reason(last["response"]),), "responses")


def test_what_is_beyond_a_mebibyte_is_counted_and_not_kept() -> None:
    transcript = ResponseTranscript()
    for _ in range(3):
        transcript.add({"type": "response.output_text.delta", "delta": "x" * 524_288})
    broken = transcript.completion()
    assert (len(broken.text), broken.not_kept) == (1_048_576, 524_288)
    transcript.add({"type": "response.completed", "response": fake.answer(ASKED[0], 1)})
    assert transcript.completion().body == b""


@pytest.mark.parametrize("usage", [{"input_tokens": -1, "output_tokens": 1}, {}])
def test_usage_that_is_not_credible_is_misreported(usage: dict[str, Any]) -> None:
    transcript = ResponseTranscript()
    transcript.add({"type": "response.completed", "response": fake.answer(ASKED[0], 1) | {"usage": usage}})
    whole = transcript.completion()
    assert (whole.usage, whole.misreported, bool(whole.text)) == (None, True, True)
