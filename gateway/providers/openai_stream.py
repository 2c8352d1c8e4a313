"""A stream of OpenAI's chunks on its way from a vendor."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import replace

import orjson

from gateway.config.settings import Timeouts
from gateway.errors import GatewayError, UpstreamError, UpstreamTimeout
from gateway.model import Completion
from gateway.providers.base import TICK, error_code, no_answer, not_understood
from gateway.providers.connection import MAX_STREAM_BYTES
from gateway.providers.http import Reply, too_large
from gateway.wire import sse
from gateway.wire.transcript import Transcript

_DONE = b"[DONE]"
_ERROR = re.compile(rb"^(?:event: ?)?error(?::|$)", re.MULTILINE)  # an event of this name, or llama.cpp's own field
_MANY = 4096  # bytes of events that a client is not to wait for
_LAST_BYTES = 0.02  # seconds for the end of a body after its last event, so that the connection can be kept


class OpenAIStream:
    """A stream of OpenAI's chunks; see `gateway.providers.base.Stream`.

    Args:
        provider: its name, for messages.
        reply: a success whose body is still to come.
        timeouts: how long an event may take, and whether the rest is read where the client has left.
        transcript: takes in what comes.
        most: characters that it may have.
        upstream_request_id: the provider's own id of the call.
    """

    def __init__(
        self,
        provider: str,
        reply: Reply,
        timeouts: Timeouts,
        transcript: Transcript,
        most: float,
        upstream_request_id: str | None,
    ) -> None:
        self.upstream_request_id = upstream_request_id
        self._provider = provider
        self._reply = reply
        self._timeouts = timeouts
        self._transcript = transcript
        self._most = most
        self._due = 0.0
        self._blocks = self._read()
        self._first = b""

    def open(self, first_by: float) -> None:
        """Wait for the first event, until `first_by` in monotonic seconds. Raises what `blocks` raises, before a client
        has been sent anything."""
        self._due = first_by
        for block in self._blocks:
            if payload := next(iter(sse.payloads(block)), None):
                self._first = block
                if not _is_object(payload):
                    self.leave()
                    break
                return
        raise not_understood(self._provider, "no chunk to begin with")

    def blocks(self) -> Iterator[bytes]:
        yield self._first
        yield from self._blocks

    def leave(self) -> None:
        if self._timeouts.drain:
            self._reply.drain()
            with contextlib.suppress(GatewayError):
                for _ in self._blocks:
                    pass
        self._blocks.close()

    def completion(self) -> Completion:
        return replace(self._transcript.completion(), upstream_request_id=self.upstream_request_id)

    def _read(self) -> Generator[bytes]:
        framer = sse.Framer()
        with contextlib.closing(self._reply.arrivals(TICK, MAX_STREAM_BYTES)) as arrivals:
            for data in arrivals:
                try:
                    block, last = _up_to_the_end(framer.feed(data))
                except ValueError as error:
                    raise not_understood(self._provider, str(error)) from error
                for part in (block,) if self._first else _first_apart(block):
                    told = self._take_in(part) if part else b""
                    if time.monotonic() > self._due and not (part and self._first):  # comments are no first event
                        raise UpstreamTimeout(
                            f"The provider {self._provider!r} did not answer in time.", detail="no whole event in time"
                        )
                    yield told
                    if part and self._first:  # and whoever took it may have been slow
                        self._due = time.monotonic() + self._timeouts.idle
                if last == _DONE:
                    self._reply.finish(_LAST_BYTES)
                    return
                if last is not None and not self._first:
                    raise no_answer(self._provider, last)
                if last is not None:
                    raise _broke_off(self._provider, error_code(last))
        raise _broke_off(self._provider, "it ended without [DONE]")

    def _take_in(self, block: bytes) -> bytes:
        """Look at events before a client gets them; what it is to get."""
        told = self._transcript.add(block)
        if self._transcript.malformed:
            raise _broke_off(self._provider, "an event is no JSON object")
        if self._transcript.generated > self._most:
            raise too_large(self._provider, f"more than {self._most} characters, which no answer within its cap has")
        return told


def _first_apart(block: bytes) -> tuple[bytes, ...]:
    """A stream's first event, and the others that came with it: to look into many takes time, and a client waits."""
    at = block.find(b"\n\n") + 2
    return (block[:at], block[at:]) if 2 <= at < len(block) - _MANY else (block,)


def _up_to_the_end(block: bytes) -> tuple[bytes, bytes | None]:
    """The events of the block before the one that ends the stream, if that is in it, and what that one says."""
    if b"error" not in block:
        at = block.find(_DONE)
        if at < 0:
            return block, None
        if at == len(block) - len(_DONE) - 2 and (b"\n\n" + block).endswith(b"\n\n" + sse.DONE):
            return block[: -len(sse.DONE)], _DONE
    kept: list[bytes] = []
    for event in sse.events(block):
        if _DONE in event or b"error" in event:
            says = next(iter(sse.payloads(event + b"\n\n")), b"").strip()
            if says == _DONE or _ERROR.search(event) or (b'"error"' in says and _reports_an_error(says)):
                return b"".join(kept), says
        kept.append(event + b"\n\n")
    return block, None


def _reports_an_error(payload: bytes) -> bool:
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(chunk, dict) and (bool(chunk.get("error")) or chunk.get("object") == "error")


def _is_object(payload: bytes) -> bool:
    try:
        return isinstance(orjson.loads(payload), dict)
    except orjson.JSONDecodeError:
        return False


def _broke_off(provider: str, detail: str | None) -> UpstreamError:
    return UpstreamError(f"The provider {provider!r} broke off its answer.", detail=detail)
