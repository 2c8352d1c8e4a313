"""A stream of OpenAI's responses on its way from a vendor to a client of the same dialect."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.model import Completion, Dialect
from gateway.providers.stream import Arriving, Cut, VendorStream
from gateway.wire import sse
from gateway.wire.responses_transcript import LAST, ResponseTranscript

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
_ENDS = (b"response.completed", b"response.incomplete", b"response.failed", b'"error"')


class ResponsesStream(VendorStream):
    """Hands events on as they come, the last one too, and one that says that it failed."""

    dialect: Dialect = "responses"

    def __init__(self, arriving: Arriving) -> None:
        super().__init__(arriving)
        self._transcript = ResponseTranscript()

    def cut(self, block: bytes) -> Cut | None:
        if not any(end in block for end in _ENDS):
            return None
        kept = b""
        for event in sse.events(block):
            payload = next(iter(sse.payloads(event + b"\n\n")), b"")
            kind, error = _end(payload)
            if error is not None:
                return Cut(kept, error=error, last=event + b"\n\n")
            kept += event + b"\n\n"
            if kind in LAST:
                return Cut(kept, whole=True)
        return None

    def take(self, block: bytes) -> bytes | None:
        try:
            for payload in sse.payloads(block):
                self._transcript.add(orjson.loads(payload))
        except _UNREADABLE:
            return None
        return block

    def put_together(self) -> Completion:
        return self._transcript.completion()

    @property
    def generated(self) -> int:
        return self._transcript.generated


def _end(payload: bytes) -> tuple[Any, bytes | None]:
    """The type of an event, and what it says where it ends the stream with an error, as the body of one would."""
    if not any(end in payload for end in _ENDS):
        return None, None
    try:
        event = orjson.loads(payload)
        kind = said if isinstance(said := event.get("type"), str) else None
        if kind == "response.failed":
            error = event["response"].get("error") or {"code": kind}
        elif kind == "error" or (kind is None and "error" in event):
            error = event.get("error") or {name: event.get(name) for name in ("code", "message", "param")}
        else:
            return kind, None
        return kind, orjson.dumps({"error": error})
    except (ValueError, AttributeError, LookupError, TypeError):
        return None, None
