"""A stream of Gemini's on its way from there."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import orjson

from gateway.model import Completion
from gateway.providers.stream import Arriving, Cut, VendorStream
from gateway.wire import sse
from gateway.wire.gemini_events import Chunk, ToChat
from gateway.wire.transcript import Transcript

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, RecursionError)


class GeminiStream(VendorStream):
    """Hands events on as OpenAI's chunks.

    Args:
        arriving: them.
        model: that was asked.
    """

    def __init__(self, arriving: Arriving, model: str) -> None:
        super().__init__(arriving)
        self._chunks = ToChat(int(time.time()), model)
        self._transcript = Transcript("chat")

    def cut(self, block: bytes) -> Cut | None:
        """Only an error ends it before its body does."""
        if b'"error"' not in block:
            return None
        kept: list[bytes] = []
        for event in sse.events(block):
            payload = next(iter(sse.payloads(event + b"\n\n")), b"")
            if _is_error(payload):
                return Cut(b"".join(kept), error=payload)
            kept.append(event + b"\n\n")
        return None

    def take(self, block: bytes) -> bytes | None:
        try:
            events = [orjson.loads(payload) for payload in sse.payloads(block)]
            return self._told(chunk for event in events for chunk in self._chunks.chunks(event))
        except _UNREADABLE:
            return None

    def end(self) -> bytes | None:
        return self._told(self._chunks.end()) if self._chunks.whole else None

    def _told(self, chunks: Iterable[Chunk]) -> bytes:
        return self._transcript.add(b"".join(sse.event(orjson.dumps(chunk)) for chunk in chunks))

    def put_together(self) -> Completion:
        return replace(self._transcript.completion(), misreported=self._chunks.misreported)

    @property
    def generated(self) -> int:
        return self._transcript.generated


def _is_error(payload: bytes) -> bool:
    try:
        return bool(orjson.loads(payload).get("error"))
    except (orjson.JSONDecodeError, AttributeError):
        return False
