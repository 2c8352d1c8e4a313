"""A streamed answer on its way to the client."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from gateway.concurrency import Task, hung_up
from gateway.errors import ClientLeft, CutOff, GatewayError
from gateway.model import Answer, Completion, Dialect
from gateway.providers.base import Stream
from gateway.services.exchange import Exchange
from gateway.wire import sse

log = logging.getLogger(__name__)

HEARTBEAT = 15.0  # seconds after which a client that was sent nothing gets a sign of life


class Writer(Protocol):
    """The client's dialect of streams."""

    def events(self, block: bytes, dialect: Dialect) -> bytes:
        """A block of events in this dialect, that are in it already or are OpenAI's chunks; b"" where there is nothing
        to say of them."""
        ...

    def end(self, answer: Answer) -> bytes:
        """The end of a whole answer."""
        ...

    def error(self, error: GatewayError) -> bytes:
        """The end of an answer that broke off."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream whose first event is there.

    Attributes:
        close: settles what was delivered, and what ended it early, if anything did.
    """

    stream: Stream
    close: Callable[[Completion, GatewayError | None], Answer]


class Relay:
    """The bytes of a streamed answer in the client's dialect, for a WSGI server to iterate over.

    Settled exactly once: with the last event, or in `close`, which the server calls whatever happens; a client that
    leaves before the first byte never starts the iteration.

    Args:
        opening: brings the stream.
        writer: the client's dialect.
        exchange: the request.
    """

    def __init__(self, opening: Task[Opened], writer: Writer, exchange: Exchange) -> None:
        self._opening = opening
        self._writer = writer
        self._record = exchange.record
        self._client = exchange.client
        self._settled = False
        self._parts = self._relay()

    def start(self) -> bool:
        """Wait for the first event, and no longer than a client may wait for a sign of life; whether it has come.

        Raises:
            GatewayError: it will not come.
        """
        begun = self._opening.wait(HEARTBEAT)
        if begun:
            try:
                self._opening.result()
            except GatewayError:
                self._settled = True
                raise
        return begun

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Settle with what was delivered where the client has left before the end."""
        if not self._settled:
            self._opening.wait()  # it sees the client's leaving for itself
            self._fail(ClientLeft() if self._client is None or hung_up(self._client) else CutOff())
        self._parts.close()

    def _relay(self) -> Generator[bytes]:
        told = -math.inf
        while not self._opening.wait(0):
            told = time.monotonic()
            yield sse.PING
            self._opening.wait(HEARTBEAT)
        opened = None
        try:
            opened = self._opening.result()
            for block in opened.stream.blocks():
                part = self._writer.events(block, opened.stream.dialect) if block else b""
                if part and self._record.ttft_ms is None:
                    self._record.ttft_ms = self._record.duration_ms
                if part or time.monotonic() >= told + HEARTBEAT:  # at first at once: the headers go with it
                    told = time.monotonic()
                    yield part or sse.PING
            end = self._writer.end(self._settle(opened, None))
        except GatewayError as error:
            self._fail(error)
            yield error.last_event or self._writer.error(error)
        except Exception as crash:
            log.error("unhandled exception", exc_info=crash, extra={"request_id": self._record.request_id})
            self._settled = self._settled or opened is None
            self._fail(GatewayError())
            yield self._writer.error(GatewayError())
        else:
            yield end

    def _fail(self, error: GatewayError) -> None:
        self._record.error_code = error.code
        if self._settled:
            return
        try:
            opened = self._opening.result()
        except GatewayError:
            self._settled = True  # nothing was opened: the attempts have been closed one by one
            return
        opened.stream.leave()
        try:
            self._settle(opened, error)
        except Exception as crash:  # it is settled at its bound, and the client is still to be told of the error
            log.error("unhandled exception", exc_info=crash, extra={"request_id": self._record.request_id})

    def _settle(self, opened: Opened, error: GatewayError | None) -> Answer:
        self._settled = True
        return opened.close(opened.stream.completion(), error)
