"""OpenAI's responses made of its chat's chunks, an event at a time; a whole one is what the last event holds.

Events: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

from gateway.model import new_id
from gateway.wire.responses_items import Call, Event, Item, Message, Reasoning
from gateway.wire.responses_requests import hidden
from gateway.wire.signatures import sealed

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}  # a chat's `finish_reason` -> why
_TIERS = ("default", "flex", "scale", "priority", "fast")  # others are those of other vendors
_ECHOED: Mapping[str, Any] = {  # what a response repeats of its request -> what it says where that has nothing
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "user": None,
}


class FromChat:
    """Makes events of the chunks of a stream's first choice: one item after the other, each done as the next begins.

    Args:
        document: the request for a response, as it came.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._sequence = 0  # the number of the next event
        self._document = document
        self._id = ""
        self._head: Event = {}
        self._output: list[Event] = []
        self._open: tuple[Any, Item] | None = None  # what tells the open item from others, and it
        self._reason: str | None = None
        self._usage: Any = None

    def events(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        """What a chunk says."""
        return self._numbered(self._events(chunk))

    def end(self) -> Iterator[Event]:
        """The end of a whole answer."""
        return self._numbered(self._end())

    def _numbered(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self._sequence += 1
            yield {"type": event["type"], "sequence_number": self._sequence - 1, **event}

    def _events(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        if not self._head:
            yield from self._begin(chunk)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                yield from self._said(choice.get("delta") or {}, choice.get("logprobs") or {})
                self._reason = choice.get("finish_reason") or self._reason

    def _begin(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        self._id = str(chunk.get("id") or new_id()).removeprefix("resp_")
        self._head = _head(self._document, self._id, chunk)
        for name in ("created", "in_progress"):
            yield {"type": f"response.{name}", "response": self._head}

    def _end(self) -> Iterator[Event]:
        if not self._head:
            yield from self._begin({})
        why = _INCOMPLETE.get(self._reason or "")
        status = "incomplete" if why else "completed"
        yield from self._close(status)
        end = {"status": status, "incomplete_details": {"reason": why} if why else None}
        response = {**self._head, **end, "output": self._output, "usage": usage_of(self._usage)}
        yield {"type": f"response.{status}", "response": response}

    def _said(self, delta: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[Event]:
        yield from self._thoughts(delta)
        for kind, text in (("output_text", _text(delta.get("content"))), ("refusal", delta.get("refusal"))):
            if text:
                message = yield from self._at("message", Message)
                yield from message.more(text, kind, scores.get("content") or ())
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _thoughts(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        blocks = delta.get("thinking_blocks") or ()
        for block in blocks:
            yield from self._whole(block.get("thinking"), hidden(block))
        text, signature = delta.get("reasoning_content") or delta.get("reasoning"), delta.get("reasoning_signature")
        if any(block["type"] == "thinking" for block in blocks):
            text = None  # the blocks have it
        if text or signature:
            thought = yield from self._at("reasoning", Reasoning)
            yield from thought.more(text or "")
            if signature:
                thought.seal = signature
                yield from self._close()

    def _whole(self, text: str | None, seal: str | None) -> Iterator[Event]:
        if not (text or seal):
            return
        yield from self._close()
        thought = yield from self._at("reasoning", Reasoning)
        thought.seal = seal
        yield from thought.more(text or "")
        yield from self._close()

    def _call(self, call: Mapping[str, Any]) -> Iterator[Event]:
        custom = call.get("type") == "custom" or "custom" in call
        told = call.get("custom" if custom else "function") or {}
        index, its_id = call.get("index", 0), call.get("id")
        whose = self._open[0] if self._open else None
        if not (isinstance(whose, tuple) and whose[0] == index and its_id in (None, "", whose[1])):
            if seal := sealed(call):
                yield from self._whole(None, seal)
            whose = index, its_id or ""
        item = yield from self._at(
            whose, lambda answer, place: Call(answer, place, custom, its_id or "", told.get("name") or "")
        )
        yield from item.more(told.get("input" if custom else "arguments") or "")

    def _at(self, whose: Any, make: Callable[[str, int], Item]) -> Generator[Event, None, Item]:
        """Begin an item, unless it is the one that is open; it is what this returns."""
        if not self._open or self._open[0] != whose:
            yield from self._close()
            self._open = whose, make(self._id, len(self._output))
            yield self._open[1].told("added", "in_progress")
        return self._open[1]

    def _close(self, status: str = "completed") -> Iterator[Event]:
        if self._open:
            item = self._open[1]
            yield from item.end(status)
            done = item.told("done", status)
            self._output.append(done["item"])
            self._open = None
            yield done


def usage_of(reported: Any) -> dict[str, Any] | None:
    """A chat's `usage` as a response's; None where there is none."""
    if not isinstance(reported, Mapping):
        return None
    prompt, completion = reported.get("prompt_tokens") or 0, reported.get("completion_tokens") or 0
    inputs, outputs = (reported.get(f"{name}_tokens_details") or {} for name in ("prompt", "completion"))
    counts = {name: inputs.get(name) or 0 for name in ("cached_tokens", "cache_write_tokens")}
    return {
        "input_tokens": prompt,
        "input_tokens_details": counts,
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": outputs.get("reasoning_tokens") or 0},
        "total_tokens": reported.get("total_tokens") or prompt + completion,
    }


def _head(document: Mapping[str, Any], its_id: str, chunk: Mapping[str, Any]) -> Event:
    """A response before there is any output."""
    tier = chunk.get("service_tier")
    return {
        "id": f"resp_{its_id}",
        "object": "response",
        "created_at": chunk.get("created") or 0,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": chunk.get("model") or "",
        "output": [],
        "previous_response_id": None,
        "service_tier": tier if tier in _TIERS else "default",
        "store": False,
        "truncation": "disabled",
        "usage": None,
        **{name: _echo(document.get(name), usual) for name, usual in _ECHOED.items()},
    }


def _echo(given: Any, usual: Any) -> Any:
    if isinstance(usual, dict):
        return usual | {name: value for name, value in (given or {}).items() if value is not None}
    return usual if given is None else given


def _text(content: Any) -> str:
    """What is said; some vendors send it in parts, of which others are thoughts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content or ""
