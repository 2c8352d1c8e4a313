"""A whole message of Anthropic's as the events that it would have come in.

Events: https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

Event = dict[str, Any]

_STOPS = ("stop_reason", "stop_sequence", "stop_details", "container")  # what a stream tells of a message at its end
_CALLS = frozenset({"tool_use", "server_tool_use"})


def events(message: Mapping[str, Any]) -> Iterator[Event]:
    """All events of a message. Clients put them together to the same one; what a block has that comes in no delta is
    told where it starts."""
    stop = {name: message[name] for name in _STOPS if name in message}
    usage = message.get("usage") or {}
    begun = {**message, "content": [], **dict.fromkeys(stop), "usage": {**usage, "output_tokens": 0}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(message["content"]):
        start, deltas = _opened(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    beside = {name: message[name] for name in ("context_management",) if message.get(name)}
    yield {"type": "message_delta", "delta": stop, "usage": usage, **beside}
    yield {"type": "message_stop"}


def _opened(block: Mapping[str, Any]) -> tuple[Event, list[Event]]:
    """What a block starts with, and what comes after that."""
    kind, start = block["type"], dict(block)
    if kind == "text":
        start["text"] = ""
        deltas = [{"type": "text_delta", "text": block["text"]}]
        if citations := block.get("citations"):
            start["citations"] = []
            deltas += [{"type": "citations_delta", "citation": citation} for citation in citations]
    elif kind == "thinking":
        start |= {"thinking": "", "signature": ""}
        deltas = [
            {"type": "thinking_delta", "thinking": block.get("thinking") or ""},
            {"type": "signature_delta", "signature": block.get("signature") or ""},
        ]
    elif kind in _CALLS:
        start["input"] = {}
        deltas = [{"type": "input_json_delta", "partial_json": orjson.dumps(block["input"]).decode()}]
    else:
        deltas = []
    return start, deltas
