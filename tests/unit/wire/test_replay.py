"""A whole answer is given in events only where it can be; else it is not kept, and no stream is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.cache.entries import may_be_kept
from gateway.wire.dialects import read_whole

DEEP: Any = "x"
for _ in range(252):
    DEEP = [DEEP]
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
           "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "created_at": 1,
            "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}  # fmt: skip
TEXT = {"type": "text", "text": "Hi"}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}  # fmt: skip


def kept(dialect: Any, document: dict[str, Any]) -> bool:
    return may_be_kept(read_whole("chat", json.dumps(document).encode(), dialect))


def test_a_sound_answer_is_kept() -> None:
    assert kept(
        "anthropic", {**MESSAGE, "content": [TEXT, {"type": "server_tool_use", "id": "x", "name": "w", "input": {}}]}
    )
    assert kept("responses", {**RESPONSE, "output": [SAID, {"type": "web_search_call", "id": "ws_1"}]})


@pytest.mark.parametrize(
    ("dialect", "document"),
    [
        ("anthropic", {**MESSAGE, "content": [TEXT], "usage": {**MESSAGE["usage"], "x": DEEP}}),  # type: ignore[dict-item]
        ("anthropic", {**MESSAGE, "content": [{**TEXT, "citations": 5}]}),
        ("responses", {**RESPONSE, "output": [SAID, {"type": "x", "x": DEEP}]}),
    ],
)
def test_one_that_cannot_be_given_again_is_not(dialect: Any, document: dict[str, Any]) -> None:
    assert not kept(dialect, document)
