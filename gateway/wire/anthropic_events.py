"""Anthropic's streams and OpenAI's, each made of the other, an event at a time.

Events: https://platform.claude.com/docs/en/build-with-claude/streaming. In chunks, a thought comes piece by piece as
`reasoning_content`, and once more, with the signature that ends it, as an entry of `thinking_blocks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.model import Usage, new_id
from gateway.wire.anthropic_answers import STOPS, head, message_usage, read_usage, stop_reason, told
from gateway.wire.chat_calls import Called, Calls
from gateway.wire.chat_pieces import object_of, objects_of, reasoning, thinking_blocks
from gateway.wire.openai import chat_usage

Event = dict[str, Any]
_LONGEST_ID = 256  # characters; it stands in every chunk


class ToChat:
    """Makes chunks of events.

    Args:
        created: seconds since 1970, of all chunks.
    """

    def __init__(self, created: int) -> None:
        self._head: Event = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._usage: dict[str, Any] = {}
        self._calls = -1  # the number of the latest tool call
        self._input: str | None = None  # of the open call, where its block began with it and no piece has come
        self._thought: list[str] = []  # of the open block
        self._signature = ""

    def chunks(self, event: Mapping[str, Any]) -> Iterator[Event]:
        """What an event says. Raises LookupError, TypeError, AttributeError where it cannot be read."""
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
            self._head |= {"id": str(message["id"])[:_LONGEST_ID], "model": str(message["model"])[:_LONGEST_ID]}
            self._usage = dict(message.get("usage") or {})
            yield self._delta({"role": "assistant", "content": ""})
        elif kind == "content_block_start":
            yield from self._begin(event["content_block"])
        elif kind == "content_block_delta":
            yield from self._more(event["delta"])
        elif kind == "content_block_stop":
            yield from self._end()
        elif kind == "message_delta":
            self._usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
            if reason := event["delta"].get("stop_reason"):
                yield self._delta({}, STOPS.get(reason, "stop"))
        elif kind == "message_stop" and (usage := read_usage(self._usage)):
            yield {**self._head, "choices": [], "usage": chat_usage(usage)}

    def _begin(self, block: Mapping[str, Any]) -> Iterator[Event]:
        self._thought, self._signature = [], block.get("signature") or ""
        if block["type"] == "tool_use":
            self._calls += 1
            self._input = orjson.dumps(block.get("input") or {}).decode()
            function = {"name": block["name"], "arguments": ""}
            yield self._delta(
                {"tool_calls": [{"index": self._calls, "id": block["id"], "type": "function", "function": function}]}
            )
        elif block["type"] == "redacted_thinking":
            yield self._delta({"thinking_blocks": [dict(block)]})
        elif block["type"] in ("text", "thinking") and (text := block.get(block["type"])):
            yield from self._more({"type": f"{block['type']}_delta", block["type"]: text})

    def _more(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        kind = delta["type"]
        if kind == "text_delta":
            yield self._delta({"content": delta["text"]})
        elif kind == "thinking_delta":
            self._thought.append(delta["thinking"])
            yield self._delta({"reasoning_content": delta["thinking"]})
        elif kind == "signature_delta":
            self._signature = delta["signature"]
        elif kind == "input_json_delta" and delta["partial_json"]:
            yield self._called_with(delta["partial_json"])

    def _end(self) -> Iterator[Event]:
        if self._input is not None:
            yield self._called_with(self._input)
        if self._signature:
            block = {"type": "thinking", "thinking": "".join(self._thought), "signature": self._signature}
            self._signature = ""
            yield self._delta({"thinking_blocks": [block]})

    def _called_with(self, piece: str) -> Event:
        self._input = None
        return self._delta({"tool_calls": [{"index": self._calls, "function": {"arguments": piece}}]})

    def _delta(self, delta: Event, reason: str | None = None) -> Event:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}


class FromChat:
    """Makes events of the chunks of a stream's first choice, as much as can be read of them.

    Anthropic's blocks come one after the other, and the pieces of a chat's calls may come by turns: what belongs to
    another block than the one that is being told waits until that is whole.
    """

    def __init__(self) -> None:
        self._begun = False
        self._index = -1
        self._blocks: deque[_Block] = deque()  # that are not whole yet or wait; the first is being told
        self._calls = Calls()
        self._reason: Any = None
        self._refused = self._called = False

    def events(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        """What a chunk says."""
        if not self._begun:
            yield self._start(chunk)
        for choice in objects_of(chunk.get("choices")):
            if not choice.get("index"):
                self._hear(object_of(choice.get("delta")))
                self._reason = choice.get("finish_reason") or self._reason
        yield from self._told()

    def end(self, usage: Usage) -> Iterator[Event]:
        """The end of a whole answer, which took `usage`."""
        if not self._begun:
            yield self._start({})
        yield from self._told(all_there=True)
        reason = stop_reason(self._reason, self._refused, self._called)
        delta = {"stop_reason": reason, "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": message_usage(usage)}
        yield {"type": "message_stop"}

    def _start(self, chunk: Mapping[str, Any]) -> Event:
        self._begun = True
        message = {**head(chunk), "content": [], "stop_reason": None, "stop_sequence": None}
        return {"type": "message_start", "message": {**message, "usage": message_usage(Usage(0, 0))}}

    def _hear(self, delta: Mapping[str, Any]) -> None:
        self._think(delta)
        for kind, text in told(delta):
            self._add(kind, text)
        self._refused |= bool(delta.get("refusal"))
        for piece in objects_of(delta.get("tool_calls")):
            if call := self._calls.add(piece):
                self._call(call)

    def _think(self, delta: Mapping[str, Any]) -> None:
        """A piece of a thought, or whole ones, whose texts may have been told, or stand beside them once more."""
        blocks, text = thinking_blocks(delta), reasoning(delta)
        are_apart = not text or any(block.get("signature") for block in blocks)
        if not are_apart:
            self._add("thinking", text)
        for block in blocks:
            if block["type"] == "redacted_thinking":
                self._blocks.append(_Block(block, is_ended=True))
            elif block["signature"]:
                self._sign(block["thinking"], block["signature"])
            elif are_apart:
                self._add("thinking", block["thinking"])

    def _sign(self, text: str, signature: str) -> None:
        """The end of a thought: of the one that is being told, where it begins like that or says nothing of its own."""
        block = self._latest("thinking")
        so_far = block.thought
        if text and not text.startswith(so_far):
            block.is_ended = True
            block, so_far = self._latest("thinking"), ""
        if rest := text[len(so_far) :]:
            block.add("thinking_delta", "thinking", rest)
        block.add("signature_delta", "signature", signature)
        block.is_ended = True

    def _add(self, kind: str, text: str) -> None:
        if text:
            self._latest(kind).add(f"{kind}_delta", kind, text)

    def _latest(self, kind: str) -> _Block:
        """The latest block where it is of this kind and goes on, else a new one."""
        if not self._blocks or self._blocks[-1].kind != kind or self._blocks[-1].is_ended:
            start = {"type": kind, kind: "", **({"signature": ""} if kind == "thinking" else {})}
            self._blocks.append(_Block(start))
        return self._blocks[-1]

    def _call(self, call: Called) -> None:
        self._called = True
        if call.seal:
            self._blocks.append(_Block({"type": "redacted_thinking", "data": call.seal}, is_ended=True))
        self._blocks.append(_CallBlock(call))

    def _told(self, all_there: bool = False) -> Iterator[Event]:
        """What there is to tell of the first block, and of the next ones where it is whole."""
        while self._blocks:
            block = self._blocks[0]
            if not block.is_begun:
                if not (block.may_begin or all_there):
                    return
                self._index += 1
                block.is_begun = True
                yield {"type": "content_block_start", "index": self._index, "content_block": block.start()}
            for delta in block.take():
                yield {"type": "content_block_delta", "index": self._index, "delta": delta}
            if not (all_there or block.is_ended or (len(self._blocks) > 1 and block.is_whole)):
                return
            yield {"type": "content_block_stop", "index": self._index}
            self._blocks.popleft()


class _Block:
    """A block of content, as far as it is there.

    Args:
        start: what it begins with.
        is_ended: nothing comes after that.

    Attributes:
        kind: its type.
        is_begun: the client has been told of it.
    """

    def __init__(self, start: Event, is_ended: bool = False) -> None:
        self.kind: str = start["type"]
        self.is_ended = is_ended
        self.is_begun = False
        self._start = start
        self._untold: list[Event] = []
        self._thought: list[str] = []

    @property
    def thought(self) -> str:
        """Of all its deltas."""
        return "".join(self._thought)

    @property
    def may_begin(self) -> bool:
        """Whether it is known what it begins with."""
        return True

    @property
    def is_whole(self) -> bool:
        """Whether nothing more is to come where another block follows."""
        return True

    def start(self) -> Event:
        return self._start

    def add(self, kind: str, name: str, piece: str) -> None:
        self._untold.append({"type": kind, name: piece})
        if kind == "thinking_delta":
            self._thought.append(piece)

    def take(self) -> list[Event]:
        """Its deltas that have not been taken."""
        taken, self._untold = self._untold, []
        return taken


class _CallBlock(_Block):
    """A block of a call."""

    def __init__(self, call: Called) -> None:
        super().__init__({"type": "tool_use"})
        self._call = call

    @property
    def may_begin(self) -> bool:
        return bool(self._call.name)

    @property
    def is_whole(self) -> bool:
        return self._call.whole

    def start(self) -> Event:
        return {"type": "tool_use", "id": self._call.id or f"call_{new_id()}", "name": self._call.name, "input": {}}

    def take(self) -> list[Event]:
        piece = self._call.take()
        return [{"type": "input_json_delta", "partial_json": piece}] if piece else []
