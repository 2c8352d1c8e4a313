"""A kept answer is given again in events that mean the same."""

from __future__ import annotations

import orjson
import pytest

from gateway.wire.openai import read_whole
from gateway.wire.replay import Replay
from gateway.wire.transcript import Transcript

MESSAGE = {"role": "assistant", "content": "ok \u00fc"}


@pytest.mark.parametrize("kind", ["chat.completion", "chat-completion", None])
def test_its_events_joined_are_the_answer(kind: str | None) -> None:
    answer = {"id": "x", "object": kind, "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]}
    body = orjson.dumps(answer)
    replay, transcript = Replay(read_whole("chat", body)), Transcript("chat")
    for block in replay.blocks():
        transcript.add(block)
    assert orjson.loads(transcript.completion().body)["choices"][0]["message"] == MESSAGE
    assert replay.completion().body == body


def test_a_vendor_may_call_its_completions_otherwise() -> None:
    answer = {"object": "text.completion", "choices": [{"index": 0, "text": "ok", "finish_reason": "stop"}]}
    replay = Replay(read_whole("completions", orjson.dumps(answer)))
    assert b'"text":"ok"' in b"".join(replay.blocks())
