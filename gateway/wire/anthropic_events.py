"""Anthropic's streams and OpenAI's, each made of the other, an event at a time.

Events: https://platform.claude.com/docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.wire.anthropic_answers import STOPS, chat_usage, message_usage, stop_reason
from gateway.wire.signatures import sealed

Event = dict[str, Any]


class ToChat:
    """Makes chunks of events.

    Args:
        created: seconds since 1970, of all chunks.
    """

    def __init__(self, created: int) -> None:
        self._head: Event = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._usage: dict[str, Any] = {}
        self._calls = -1  # the number of the latest tool call
        self._without_input = False  # it has been called with nothing so far

    def chunks(self, event: Mapping[str, Any]) -> Iterator[Event]:
        """What an event says. Raises LookupError, TypeError, AttributeError where it cannot be read."""
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
            self._head |= {"id": message["id"], "model": message["model"]}
            self._usage = dict(message.get("usage") or {})
            yield self._delta({"role": "assistant", "content": ""})
        elif kind == "content_block_start":
            yield from self._begin(event["content_block"])
        elif kind == "content_block_delta":
            yield from self._more(event["delta"])
        elif kind == "content_block_stop" and self._without_input:
            yield self._called_with("{}")
        elif kind == "message_delta":
            self._usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
            if reason := event["delta"].get("stop_reason"):
                yield self._delta({}, STOPS.get(reason, "stop"))
        elif kind == "message_stop":
            yield {**self._head, "choices": [], "usage": chat_usage(self._usage)}

    def _begin(self, block: Mapping[str, Any]) -> Iterator[Event]:
        if block["type"] == "tool_use":
            self._calls += 1
            self._without_input = True
            function = {"name": block["name"], "arguments": ""}
            yield self._delta(
                {"tool_calls": [{"index": self._calls, "id": block["id"], "type": "function", "function": function}]}
            )
        elif block["type"] == "redacted_thinking":
            yield self._delta({"thinking_blocks": [dict(block)]})
        elif block["type"] == "text" and block.get("text"):
            yield self._delta({"content": block["text"]})

    def _more(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        kind = delta["type"]
        if kind == "text_delta":
            yield self._delta({"content": delta["text"]})
        elif kind == "thinking_delta":
            yield self._delta({"reasoning_content": delta["thinking"]})
        elif kind == "signature_delta":
            yield self._delta({"reasoning_signature": delta["signature"]})
        elif kind == "input_json_delta" and delta["partial_json"]:
            yield self._called_with(delta["partial_json"])

    def _called_with(self, piece: str) -> Event:
        self._without_input = False
        return self._delta({"tool_calls": [{"index": self._calls, "function": {"arguments": piece}}]})

    def _delta(self, delta: Event, reason: str | None = None) -> Event:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}


class FromChat:
    """Makes events of the chunks of a stream's first choice."""

    def __init__(self) -> None:
        self._block: tuple[str, Any] | None = None  # the kind of the open block, and whose it is
        self._index = -1
        self._begun = False
        self._reason: str | None = None
        self._refused = False
        self._usage: Any = None

    def events(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        """What a chunk says."""
        if not self._begun:
            self._begun = True
            yield self._start(chunk)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                yield from self._said(choice.get("delta") or {})
                self._reason = choice.get("finish_reason") or self._reason

    def end(self) -> Iterator[Event]:
        """The end of a whole answer."""
        if not self._begun:
            yield self._start({})
        yield from self._close()
        usage = message_usage(self._usage)
        delta = {"stop_reason": stop_reason(self._reason, self._refused) or "end_turn", "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": usage}
        yield {"type": "message_stop"}

    def _start(self, chunk: Mapping[str, Any]) -> Event:
        message: Event = {
            "id": chunk.get("id") or "msg",
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model") or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": message_usage(chunk.get("usage")),
        }
        return {"type": "message_start", "message": message}

    def _said(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        blocks = delta.get("thinking_blocks") or ()
        if not any(block["type"] == "thinking" for block in blocks):  # whose text stands beside them once more
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            yield from self._thought(thought, delta.get("reasoning_signature"))
        for block in blocks:
            if block["type"] == "thinking":
                yield from self._thought(block["thinking"], block.get("signature"))
            else:
                yield from self._open(block["type"], block, dict(block))
        self._refused |= bool(delta.get("refusal"))
        for text in (delta.get("content"), delta.get("refusal")):
            if text:
                yield from self._open("text", None, {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _thought(self, text: str | None, signature: str | None) -> Iterator[Event]:
        """A piece of a thought; its signature is the last one."""
        if text or signature:
            yield from self._open("thinking", None, {"type": "thinking", "thinking": "", "signature": ""})
        if text:
            yield self._delta({"type": "thinking_delta", "thinking": text})
        if signature:
            yield self._delta({"type": "signature_delta", "signature": signature})
            yield from self._close()

    def _call(self, call: Mapping[str, Any]) -> Iterator[Event]:
        """A piece of a call, or a whole one: some vendors give several of them the same index, each with its id."""
        function = call.get("function") or {}
        index, its_id = self._block[1] if self._block and self._block[0] == "tool_use" else (None, "")
        if index != call.get("index", 0) or (call.get("id") or its_id) != its_id:
            if thought := sealed(call):
                yield from self._open("redacted_thinking", thought, {"type": "redacted_thinking", "data": thought})
            block: Event = {
                "type": "tool_use",
                "id": call.get("id") or "",
                "name": function.get("name") or "",
                "input": {},
            }
            yield from self._open("tool_use", (call.get("index", 0), block["id"]), block)
        if function.get("arguments"):
            yield self._delta({"type": "input_json_delta", "partial_json": function["arguments"]})

    def _open(self, kind: str, whose: Any, block: Event) -> Iterator[Event]:
        """Begin a block, unless it is the one that is open."""
        if self._block == (kind, whose):
            return
        yield from self._close()
        self._index += 1
        self._block = kind, whose
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[Event]:
        if self._block:
            self._block = None
            yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, delta: Event) -> Event:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}
