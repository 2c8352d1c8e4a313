"""A stream of a vendor's events on its way to a client: within its deadlines, looked at, and settled by what came."""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import NamedTuple

import orjson

from gateway.config.settings import Timeouts
from gateway.errors import GatewayError, ProviderRefused, UpstreamError, UpstreamTimeout
from gateway.model import Completion, Dialect
from gateway.providers.base import TICK, error_code, no_answer, not_understood
from gateway.providers.connection import MAX_STREAM_BYTES
from gateway.providers.http import Reply, too_large
from gateway.wire import sse

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, RecursionError)
_MANY = 4096  # bytes of events that a client is not to wait for
_ABOUT_THE_REQUEST = {"context_length_exceeded", "invalid_prompt", "invalid_request_error"}
_ABOUT_THE_GATEWAY = {"invalid_api_key"}  # which OpenAI calls an invalid request too
_LAST_BYTES = 0.02  # seconds for the end of a body after its last event, so that the connection can be kept


class Cut(NamedTuple):
    """The last block of events, up to the one that ends the stream.

    Attributes:
        block: what comes before it, or with it where it says something.
        whole: the stream ends with this block as it should.
        error: what the provider says where it ends because of that.
        last: the event that says so, where it is in the client's dialect.
    """

    block: bytes
    whole: bool = False
    error: bytes | None = None
    last: bytes = b""


class Arriving(NamedTuple):
    """A stream that begins to arrive.

    Attributes:
        provider: its name, for messages.
        reply: a success whose body is still to come.
        timeouts: how long an event may take, and whether the rest is read where the client has left.
        most: characters that it may have.
        upstream_request_id: the provider's own id of the call.
        quotes_a_credential: whether JSON of the provider's would tell a client one of the gateway's credentials.
    """

    provider: str
    reply: Reply
    timeouts: Timeouts
    most: float = math.inf
    upstream_request_id: str | None = None
    quotes_a_credential: Callable[[bytes], bool] = lambda said: False


class VendorStream(ABC):
    """See `gateway.providers.base.Stream`."""

    dialect: Dialect = "openai"

    def __init__(self, arriving: Arriving) -> None:
        self.upstream_request_id = arriving.upstream_request_id
        self._provider, self._reply, self._timeouts, self._most, _, self._quotes_a_credential = arriving
        self._due = 0.0
        self._blocks = self._read()
        self._first = b""

    @abstractmethod
    def cut(self, block: bytes) -> Cut | None:
        """Look for the end of the stream in a block of whole events; None where it goes on."""

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
        try:
            found = self.put_together()
        except _UNREADABLE:  # what is written down is as much as came
            found = Completion(b"", not_kept=self.generated)
        return replace(found, upstream_request_id=self.upstream_request_id)

    def _read(self) -> Generator[bytes]:
        framer = sse.Framer()
        with contextlib.closing(self._reply.arrivals(TICK, MAX_STREAM_BYTES)) as arrivals:
            for data in arrivals:
                block, cut = self._next(framer, data)
                for part in (block,) if self._first else _first_apart(block):
                    told = self._checked(part) if part else b""
                    if time.monotonic() > self._due and not (part and self._first):  # comments are no first event
                        raise UpstreamTimeout(
                            f"The provider {self._provider!r} did not answer in time.", detail="no whole event in time"
                        )
                    yield told
                    if part and self._first:  # and whoever took it may have been slow
                        self._due = time.monotonic() + self._timeouts.idle
                if cut and cut.whole:
                    self._reply.finish(_LAST_BYTES)
                    return
                if cut and cut.error is not None:
                    raise self._ended_by(cut.error, cut.last)
        yield self._last()

    def _next(self, framer: sse.Framer, data: bytes) -> tuple[bytes, Cut | None]:
        """The whole events that are there with `data`, and where the stream ends among them."""
        try:
            block = framer.feed(data)
            cut = self.cut(block)
        except _UNREADABLE as mistake:
            raise not_understood(self._provider, str(mistake)) from mistake
        return (cut.block if cut else block), cut

    def _last(self) -> bytes:
        with contextlib.suppress(*_UNREADABLE):
            if (last := self.end()) is not None:
                return last
        raise _broke_off(self._provider, "it ended before its last event")

    def _ended_by(self, error: bytes, last: bytes) -> GatewayError:
        """What an error means: as the first event what it would as a whole answer, unless it is about the request."""
        if self._first:
            broken = _broke_off(self._provider, error_code(error))
            said = (error, last, *sse.payloads(last))
            broken.last_event = b"" if any(map(self._quotes_a_credential, said)) else last
            return broken
        if not _is_about_the_request(error) or self._quotes_a_credential(error):
            return no_answer(self._provider, error)
        refused = ProviderRefused(400, error)
        refused.dialect = self.dialect if last else None
        return refused

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


def _is_about_the_request(error: bytes) -> bool:
    """Whether an error says that the request is at fault, which another target would find too."""
    try:
        said = orjson.loads(error)["error"]
        codes = {said.get("code"), said.get("type")}
    except (ValueError, TypeError, AttributeError, LookupError):
        return False
    return not codes.isdisjoint(_ABOUT_THE_REQUEST) and codes.isdisjoint(_ABOUT_THE_GATEWAY)


def _is_object(payload: bytes) -> bool:
    try:
        return isinstance(orjson.loads(payload), dict)
    except orjson.JSONDecodeError:
        return False


def _broke_off(provider: str, detail: str | None) -> UpstreamError:
    return UpstreamError(f"The provider {provider!r} broke off its answer.", detail=detail)
