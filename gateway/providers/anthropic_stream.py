"""A stream of Anthropic's events on its way from that vendor."""

from __future__ import annotations

import time
from typing import Any

import orjson

from gateway.model import Completion, Dialect
from gateway.providers.stream import Arriving, Cut, VendorStream
from gateway.wire import sse
from gateway.wire.anthropic_events import ToChat
from gateway.wire.anthropic_transcript import MessageTranscript
from gateway.wire.dialects import translated

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, RecursionError)


class AnthropicStream(VendorStream):
    """Hands events on as they came to a client of the same dialect, else as OpenAI's chunks.

    Args:
        arriving: them.
        is_native: the client's dialect is this one.
    """

    def __init__(self, arriving: Arriving, is_native: bool) -> None:
        super().__init__(arriving)
        self.dialect: Dialect = "anthropic" if is_native else "openai"
        self._transcript = MessageTranscript()
        self._chunks = None if is_native else ToChat(int(time.time()))

    def cut(self, block: bytes) -> Cut | None:
        """Its last event says something only to a client of this dialect; both get it."""
        if b'"error"' not in block and b"message_stop" not in block:
            return None
        kept = []
        for event in sse.events(block):
            kept.append(event + b"\n\n")
            payload = next(iter(sse.payloads(event + b"\n\n")), b"")
            kind = _kind(payload)
            if kind == "message_stop":
                return Cut(b"".join(kept), whole=True)
            if kind == "error":
                return Cut(b"".join(kept[:-1]), error=payload, last=b"" if self._chunks else kept[-1])
        return None

    def take(self, block: bytes) -> bytes | None:
        told = []
        try:
            for payload in sse.payloads(block):
                event = orjson.loads(payload)
                self._transcript.add(event)
                if event["type"] == "message_stop" and not self._transcript.has_stopped:
                    return None  # cut off somewhere, and ended as if it were whole
                if self._chunks:
                    told += [sse.event(orjson.dumps(chunk)) for chunk in self._chunks.chunks(event)]
        except _UNREADABLE:
            return None
        return b"".join(told) if self._chunks else block

    def put_together(self) -> Completion:
        found = self._transcript.completion()
        return translated(found) if self._chunks else found

    @property
    def generated(self) -> int:
        return self._transcript.generated


def _kind(payload: bytes) -> Any:
    try:
        return orjson.loads(payload).get("type")
    except (orjson.JSONDecodeError, AttributeError):
        return None
