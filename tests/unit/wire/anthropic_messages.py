"""Messages of Anthropic's, drawn at random, and what becomes of them."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from gateway.model import Usage
from gateway.wire import anthropic_answers

TEXT = st.text(min_size=1, max_size=20)
NAME = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=6,
)
INPUT = st.dictionaries(NAME, JSON, max_size=3)
plain = st.builds(lambda text: {"type": "text", "text": text}, TEXT)
thought = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "sig"}, TEXT)
COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
IN_CHAT = {"stop_sequence": "end_turn", "pause_turn": "end_turn"}  # what has no word of its own there


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    usage: dict[str, Any] = {name: draw(st.integers(0, 10**6)) for name in COUNTS}
    if for_1h := draw(st.integers(0, usage["cache_creation_input_tokens"])):
        for_5m = usage["cache_creation_input_tokens"] - for_1h
        usage["cache_creation"] = {"ephemeral_5m_input_tokens": for_5m, "ephemeral_1h_input_tokens": for_1h}
    if thinking := draw(st.integers(0, usage["output_tokens"])):
        usage["output_tokens_details"] = {"thinking_tokens": thinking}
    return usage


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    redacted = st.just({"type": "redacted_thinking", "data": "secret"})
    blocks = [*draw(st.lists(thought | redacted, max_size=3)), *draw(st.lists(plain, max_size=1))]
    used = draw(st.lists(st.tuples(NAME, INPUT), max_size=2))
    blocks += [
        {"type": "tool_use", "id": f"toolu_{at}", "name": name, "input": given_}
        for at, (name, given_) in enumerate(used)
    ]
    ends = ["tool_use"] if used else ["end_turn", "stop_sequence", "pause_turn"]
    reason = draw(st.sampled_from([*ends, "max_tokens", "refusal"]))
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": blocks,
        "stop_reason": reason,
        "stop_sequence": "END" if reason == "stop_sequence" else None,
        "usage": draw(usages()),
    }


def through_chat(message: dict[str, Any]) -> dict[str, Any]:
    reason = message["stop_reason"]
    return {**message, "stop_reason": IN_CHAT.get(reason, reason), "stop_sequence": None}


def usage_of(message: dict[str, Any]) -> Usage:
    usage = anthropic_answers.read_usage(message["usage"])
    assert usage
    return usage


def whole(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of events."""
    message = {**events[0]["message"], "content": []}
    for event in events[1:]:
        if event["type"] == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(dict(event["content_block"]))
            pieces = ""
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                pieces += delta["partial_json"]
            else:
                name = delta["type"].removesuffix("_delta")
                block[name] += delta[name]
        elif event["type"] == "content_block_stop" and message["content"][-1]["type"] == "tool_use":
            message["content"][-1]["input"] = orjson.loads(pieces or "{}")
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] = event["usage"]
    return message
