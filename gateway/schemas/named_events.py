"""Streams of events that have names, as Anthropic's are and those of OpenAI's responses: a vendor's own as they came,
others made of OpenAI's chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import orjson

from gateway.errors import AnswerTooLarge, GatewayError
from gateway.model import Answer, Dialect, Usage
from gateway.wire import sse

_MOST_READ = 67_108_864  # bytes of chunks: a response's last event says all of them once more
_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError)


class Maker(Protocol):
    """Makes events of chunks."""

    def events(self, chunk: Mapping[str, Any]) -> Iterator[dict[str, Any]]: ...

    def end(self, usage: Usage) -> Iterator[dict[str, Any]]: ...


class NamedEventWriter(ABC):
    """See `gateway.services.relay.Writer`.

    Args:
        dialect: the client's.
        maker: makes its events, where the vendor's are of another dialect.

    Attributes:
        told: how many events the client has been sent.
    """

    def __init__(self, dialect: Dialect, maker: Callable[[], Maker]) -> None:
        self._dialect = dialect
        self._maker = maker
        self._made: Maker | None = None
        self._read = 0  # bytes
        self.told = 0

    def events(self, block: bytes, dialect: Dialect) -> bytes:
        if dialect == self._dialect:
            self.told += block.count(b"\n\n")
            return block
        self._read += len(block)
        if self._read > _MOST_READ:
            raise AnswerTooLarge("The answer is larger than this gateway translates.")
        made = self._made = self._made or self._maker()
        events = [event for payload in sse.payloads(block) for event in _made_of(payload, made)]
        self.told += len(events)
        return b"".join(events)

    def end(self, answer: Answer) -> bytes:
        if self._made is None:
            return b""  # a vendor's own stream ends itself
        return b"".join(map(sse.named_event, self._made.end(answer.usage)))

    @abstractmethod
    def error(self, error: GatewayError) -> bytes:
        """The end of an answer that broke off."""


def _made_of(payload: bytes, made: Maker) -> list[bytes]:
    """The events of what a chunk says; none where it cannot be read, or is nested deeper than can be written."""
    try:
        return [sse.named_event(event) for event in made.events(orjson.loads(payload))]
    except _UNREADABLE:
        return []
