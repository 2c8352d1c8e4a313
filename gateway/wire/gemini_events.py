"""Gemini's streams as OpenAI's, a chunk at a time: https://ai.google.dev/api/generate-content#streamgeneratecontent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.model import new_id
from gateway.wire.gemini_answers import BLOCKED, blocked, finish_reason, parts, read_usage, said
from gateway.wire.openai import chat_usage

Chunk = dict[str, Any]
_LONGEST_ID = 256  # characters; it stands in every chunk


class ToChat:
    """Makes chunks of what Gemini sends, each an answer of its own that has what came since the one before.

    Args:
        created: seconds since 1970, of all chunks.
        model: that was asked, where Gemini does not say.

    Attributes:
        created: as given.
    """

    def __init__(self, created: int, model: str) -> None:
        self.created = created
        head = {"id": f"chatcmpl-{new_id()}", "object": "chat.completion.chunk", "created": created, "model": model}
        self._head: Chunk = head
        self._reasons: dict[int, Any] = {}  # Gemini's, by choice; None while there is more to come
        self._calls: dict[int, int] = {}  # how many, by choice
        self._usage: Any = None  # as reported last: it grows

    @property
    def whole(self) -> bool:
        """Whether every choice that was begun has said why it ended: Gemini has no last event."""
        return bool(self._reasons) and None not in self._reasons.values()

    @property
    def misreported(self) -> bool:
        """Whether it told what it used, and not credibly."""
        return bool(self._usage) and read_usage(self._usage) is None

    def chunks(self, event: Mapping[str, Any]) -> Iterator[Chunk]:
        """What an event says. Raises LookupError, TypeError, AttributeError where it cannot be read."""
        own = {"id": event.get("responseId"), "model": event.get("modelVersion")}
        self._head |= {name: str(value)[:_LONGEST_ID] for name, value in own.items() if value}
        self._usage = event.get("usageMetadata") or self._usage
        candidates = event.get("candidates") or ()
        if not candidates and (event.get("promptFeedback") or {}).get("blockReason"):
            yield self._begin(0, blocked(event))
            self._reasons[0] = BLOCKED
        for candidate in candidates:
            index = candidate.get("index", 0)
            if index not in self._reasons:
                yield self._begin(index)
            for name, value in map(said, parts(candidate)):
                if name == "tool_calls":
                    value = [{"index": self._calls[index], **value}]
                    self._calls[index] += 1
                if value:
                    yield self._chunk(index, {name: value})
            self._reasons[index] = candidate.get("finishReason") or self._reasons[index]

    def end(self) -> Iterator[Chunk]:
        """What is due once a whole answer has ended: why each choice did, and the usage."""
        for index, reason in sorted(self._reasons.items()):
            yield self._chunk(index, {}, finish_reason(reason, self._calls[index] > 0))
        if usage := read_usage(self._usage):
            yield {**self._head, "choices": [], "usage": chat_usage(usage)}

    def _begin(self, index: int, refusal: str | None = None) -> Chunk:
        self._reasons[index], self._calls[index] = None, 0
        return self._chunk(index, {"role": "assistant", "content": None, "refusal": refusal})

    def _chunk(self, index: int, delta: Chunk, reason: str | None = None) -> Chunk:
        return {**self._head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}]}
