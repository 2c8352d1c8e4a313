"""OpenAI's responses made of its chat's chunks, an event at a time; a whole one is what the last event holds.

Events: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from gateway.model import Usage, new_id
from gateway.wire.chat_calls import Called, Calls
from gateway.wire.chat_pieces import object_of, objects_of, reasoning, said, text_of, thinking_blocks
from gateway.wire.responses_items import Call, Event, Item, Message, Reasoning
from gateway.wire.signatures import UNSIGNED, hidden

T = TypeVar("T", bound=Item)

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}  # a chat's `finish_reason` -> why
_TIERS = ("default", "flex", "scale", "priority", "fast")  # others are those of other vendors
_SPOKEN = ("content", "refusal", "annotations", "reasoning_content", "reasoning", "thinking_blocks")  # of a delta
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_ID = 48  # of an answer's, in the ids of its items, of which OpenAI takes none back that has more than 64
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
    Calls whose pieces come mixed wait for their turn, and so does what is said between them.

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
        self._calls = Calls()
        self._waiting: deque[Called] = deque()  # that are not told to their end; of the first, what was taken is
        self._late: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []  # said while a call was unfinished
        self._reason = ""

    def events(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        """What a chunk says; what cannot be read of it says nothing."""
        return self._numbered(self._events(chunk))

    def end(self, usage: Usage) -> Iterator[Event]:
        """The end of a whole answer, and what it took."""
        return self._numbered(self._end(usage))

    def _numbered(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self._sequence += 1
            yield {"type": event["type"], "sequence_number": self._sequence - 1, **event}

    def _events(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        if not self._head:
            yield from self._begin(chunk)
        for choice in objects_of(chunk.get("choices")):
            if not choice.get("index"):
                yield from self._said(object_of(choice.get("delta")), object_of(choice.get("logprobs")))
                self._reason = text_of(choice.get("finish_reason")) or self._reason

    def _begin(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        its_id = text_of(chunk.get("id")).removeprefix("resp_")
        self._id = _NOT_IN_IDS.sub("_", its_id)[:_LONGEST_ID] or new_id()
        self._head = _head(self._document, self._id, chunk)
        for name in ("created", "in_progress"):
            yield {"type": f"response.{name}", "response": self._head}

    def _end(self, usage: Usage) -> Iterator[Event]:
        if not self._head:
            yield from self._begin({})
        why = _INCOMPLETE.get(self._reason)
        status = "incomplete" if why else "completed"
        yield from self._called(status)
        for delta, scores in self._late:
            yield from self._spoken(delta, scores)
        yield from self._close(status)
        end = {"status": status, "incomplete_details": {"reason": why} if why else None}
        response = {**self._head, **end, "output": self._output, "usage": _usage(usage)}
        yield {"type": f"response.{status}", "response": response}

    def _said(self, delta: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[Event]:
        if any(delta.get(name) for name in _SPOKEN):
            if self._late or not all(call.whole for call in self._waiting):
                self._late.append((delta, scores))
            else:
                yield from self._called("completed")
                yield from self._spoken(delta, scores)
        for piece in objects_of(delta.get("tool_calls")):
            if begun := self._calls.add(piece):
                self._waiting.append(begun)
            yield from self._called(look=begun is not None)

    def _spoken(self, delta: Mapping[str, Any], scores: Mapping[str, Any]) -> Iterator[Event]:
        yield from self._thoughts(delta)
        for kind, text in said(delta):
            yield from self._says(kind, text, objects_of(scores.get("content")))
        if self._open and isinstance(self._open[1], Message):
            yield from self._open[1].annotate(map(_annotation, objects_of(delta.get("annotations"))))
        if refusal := text_of(delta.get("refusal")):
            yield from self._says("refusal", refusal)

    def _says(self, kind: str, text: str, scores: Iterable[Any] = ()) -> Iterator[Event]:
        if kind == "thinking":
            thought = yield from self._at("reasoning", Reasoning)
            yield from thought.more(text)
        else:
            message = yield from self._at("message", Message)
            yield from message.more(text, "refusal" if kind == "refusal" else "output_text", scores)

    def _thoughts(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        """Pieces of a thought, and the block that holds all of it behind them; or blocks alone, with their text beside
        them once more, as in a whole answer."""
        blocks, text = thinking_blocks(delta), reasoning(delta)
        if text and not any(block.get("thinking") for block in blocks):
            yield from self._says("thinking", text)
        for block in blocks:
            yield from self._thought(block.get("thinking", ""), hidden(block))

    def _thought(self, text: str, seal: str) -> Iterator[Event]:
        """A whole thought, whose text may have been told."""
        told = self._open and self._open[0] == "reasoning" and self._open[1].text == text
        if not told:
            yield from self._close()
            if not text and seal == UNSIGNED:
                return
        thought = yield from self._at("reasoning", Reasoning)
        thought.seal = seal
        yield from thought.more("" if told else text)
        yield from self._close()

    def _called(self, last: str | None = None, look: bool = False) -> Iterator[Event]:
        """What has come of calls, and is due.

        Args:
            last: the status of those that are not whole, where no more will come of any.
            look: whether the first one is whole, so that it is another's turn.
        """
        while self._waiting:
            call = self._waiting[0]
            if last is None and not call.name:
                return
            if call.seal and not (self._open and self._open[0] is call):
                yield from self._thought("", call.seal)
            item = yield from self._at(call, _item_of(call))
            yield from item.more(call.take())
            alone = len(self._waiting) == 1
            if last is None and (alone or not (look and call.whole)):
                return
            self._waiting.popleft()
            yield from self._close("completed" if call.whole else last or "completed")

    def _at(self, whose: Any, make: Callable[[str, int], T]) -> Generator[Event, None, T]:
        """Begin an item, unless it is the one that is open; it is what this returns."""
        if not self._open or self._open[0] != whose:
            yield from self._close()
            self._open = whose, make(self._id, len(self._output))
            yield self._open[1].told("added", "in_progress")
        return cast(T, self._open[1])

    def _close(self, status: str = "completed") -> Iterator[Event]:
        if self._open:
            item = self._open[1]
            yield from item.end(status)
            done = item.told("done", status)
            self._output.append(done["item"])
            self._open = None
            yield done


def _item_of(call: Called) -> Callable[[str, int], Call]:
    return lambda answer, place: Call(answer, place, call.custom, call.id or f"call_{new_id()}", call.name)


def _annotation(said: Mapping[str, Any]) -> Event:
    """A chat's annotation as a response has it: flat."""
    kind = text_of(said.get("type"))
    return {"type": kind, **object_of(said.get(kind))}


def _usage(usage: Usage) -> dict[str, Any]:
    """Our usage as a response's."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _head(document: Mapping[str, Any], its_id: str, chunk: Mapping[str, Any]) -> Event:
    """A response before there is any output."""
    tier = chunk.get("service_tier")
    return {
        "id": f"resp_{its_id}",
        "object": "response",
        "created_at": created if isinstance(created := chunk.get("created"), int | float) else 0,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": text_of(chunk.get("model")),
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
