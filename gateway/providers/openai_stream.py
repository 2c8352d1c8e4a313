"""A stream of OpenAI's chunks on its way from a vendor."""

from __future__ import annotations

import re

import orjson

from gateway.model import Completion
from gateway.providers.stream import Arriving, Cut, VendorStream
from gateway.wire import sse
from gateway.wire.transcript import Transcript

_DONE = b"[DONE]"
_ERROR = re.compile(rb"^(?:event: ?)?error(?::|$)", re.MULTILINE)  # an event of this name, or llama.cpp's own field


class OpenAIStream(VendorStream):
    """Hands chunks on as they come.

    Args:
        arriving: them.
        transcript: takes in what comes.
    """

    def __init__(self, arriving: Arriving, transcript: Transcript) -> None:
        super().__init__(arriving)
        self._transcript = transcript

    def cut(self, block: bytes) -> Cut | None:
        return _up_to_the_end(block)

    def take(self, block: bytes) -> bytes | None:
        told = self._transcript.add(block)
        return None if self._transcript.malformed else told

    def put_together(self) -> Completion:
        return self._transcript.completion()

    @property
    def generated(self) -> int:
        return self._transcript.generated


def _up_to_the_end(block: bytes) -> Cut | None:
    """The events of the block before the one that ends the stream, if that is in it."""
    if b"error" not in block:
        at = block.find(_DONE)
        if at < 0:
            return None
        if at == len(block) - len(_DONE) - 2 and (b"\n\n" + block).endswith(b"\n\n" + sse.DONE):
            return Cut(block[: -len(sse.DONE)], whole=True)
    kept: list[bytes] = []
    for event in sse.events(block):
        if _DONE in event or b"error" in event:
            says = next(iter(sse.payloads(event + b"\n\n")), b"").strip()
            if says == _DONE or _ERROR.search(event) or (b'"error"' in says and _reports_an_error(says)):
                return Cut(b"".join(kept), says == _DONE, None if says == _DONE else says)
        kept.append(event + b"\n\n")
    return None


def _reports_an_error(payload: bytes) -> bool:
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(chunk, dict) and (bool(chunk.get("error")) or chunk.get("object") == "error")
