"""A stream of a vendor's events on its way to a client: within its deadlines, looked at, and settled by what came."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

import orjson

from gateway.config.settings import Timeouts
from gateway.errors import GatewayError, UpstreamError, UpstreamTimeout
from gateway.model import Completion, Dialect
from gateway.providers.base import TICK, error_code, no_answer, not_understood
from gateway.providers.connection import MAX_STREAM_BYTES
from gateway.providers.http import Reply, too_large
from gateway.wire import sse

_MANY = 4096  # bytes of events that a client is not to wait for
_LAST_BYTES = 0.02  # seconds for the end of a body after its last event, so that the connection can be kept


class Cut(NamedTuple):
    """A block of events, up to the one that ends the stream.

    Attributes:
        block: what comes before it, or with it where it says something.
        whole: the stream ends with this block as it should.
        error: what the provider says where it ends because of that.
    """

    block: bytes
    whole: bool = False
    error: bytes | None = None


class VendorStream(ABC):
    """See `gateway.providers.base.Stream`.

    Args:
        provider: its name, for messages.
        reply: a success whose body is still to come.
        timeouts: how long an event may take, and whether the rest is read where the client has left.
        most: characters that it may have.
        upstream_request_id: the provider's own id of the call.
    """

    dialect: Dialect = "openai"

    def __init__(
        self, provider: str, reply: Reply, timeouts: Timeouts, most: float, upstream_request_id: str | None
    ) -> None:
        self.upstream_request_id = upstream_request_id
        self._provider = provider
        self._reply = reply
        self._timeouts = timeouts
        self._most = most
        self._due = 0.0
        self._blocks = self._read()
        self._first = b""

    @abstractmethod
    def cut(self, block: bytes) -> Cut:
        """Look for the end of the stream in a block of whole events."""

    @abstractmethod
    def take(self, block: bytes) -> bytes | None:
        """Look at events before a client gets them; what it is to get, or None where one is no event of this API."""

    def end(self) -> bytes | None:
        """What a client is to get yet where the body ends without an event that says so; None where the answer is not
        whole then, as of every API that has such an event."""
        return None

    @abstractmethod
    def put_together(self) -> Completion:
        """What came of the answer so far."""

    @property
    @abstractmethod
    def generated(self) -> int:
        """Characters of it."""

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
        return replace(self.put_together(), upstream_request_id=self.upstream_request_id)

    def _read(self) -> Generator[bytes]:
        framer = sse.Framer()
        with contextlib.closing(self._reply.arrivals(TICK, MAX_STREAM_BYTES)) as arrivals:
            for data in arrivals:
                try:
                    block, whole, error = self.cut(framer.feed(data))
                except ValueError as mistake:
                    raise not_understood(self._provider, str(mistake)) from mistake
                for part in (block,) if self._first else _first_apart(block):
                    told = self._checked(part) if part else b""
                    if time.monotonic() > self._due and not (part and self._first):  # comments are no first event
                        raise UpstreamTimeout(
                            f"The provider {self._provider!r} did not answer in time.", detail="no whole event in time"
                        )
                    yield told
                    if part and self._first:  # and whoever took it may have been slow
                        self._due = time.monotonic() + self._timeouts.idle
                if whole:
                    self._reply.finish(_LAST_BYTES)
                    return
                if error is not None and not self._first:
                    raise no_answer(self._provider, error)
                if error is not None:
                    raise _broke_off(self._provider, error_code(error))
        last = self.end()
        if last is None:
            raise _broke_off(self._provider, "it ended before its last event")
        yield last

    def _checked(self, block: bytes) -> bytes:
        told = self.take(block)
        if told is None:
            raise _broke_off(self._provider, "an event is no JSON object")
        if self.generated > self._most:
            raise too_large(self._provider, f"more than {self._most} characters, which no answer within its cap has")
        return told


def _first_apart(block: bytes) -> tuple[bytes, ...]:
    """A stream's first event, and the others that came with it: to look into many takes time, and a client waits."""
    at = block.find(b"\n\n") + 2
    return (block[:at], block[at:]) if 2 <= at < len(block) - _MANY else (block,)


def _is_object(payload: bytes) -> bool:
    try:
        return isinstance(orjson.loads(payload), dict)
    except orjson.JSONDecodeError:
        return False


def _broke_off(provider: str, detail: str | None) -> UpstreamError:
    return UpstreamError(f"The provider {provider!r} broke off its answer.", detail=detail)
