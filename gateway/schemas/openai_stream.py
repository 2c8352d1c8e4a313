"""OpenAI's streams, as the gateway's clients get them: a vendor's events as they came."""

from __future__ import annotations

import orjson

from gateway.errors import GatewayError, ProviderRefused
from gateway.model import Answer, Dialect
from gateway.wire import sse
from gateway.wire.openai import without_usage


class StreamWriter:
    """Hands events on.

    Args:
        include_usage: the client asked for the usage at the end.
    """

    def __init__(self, include_usage: bool) -> None:
        self._include_usage = include_usage

    def events(self, block: bytes, dialect: Dialect) -> bytes:
        return block if self._include_usage else without_usage(block)

    def end(self, answer: Answer) -> bytes:
        return sse.DONE

    def error(self, error: GatewayError) -> bytes:
        return error_event(error)


def error_event(error: GatewayError) -> bytes:
    """The event that ends a stream which broke; a provider's own refusal says what the provider said."""
    return sse.event(orjson.dumps(orjson.loads(body_of(error))))


def body_of(error: GatewayError) -> bytes:
    """What a client is told of an error: a vendor's own refusal byte for byte where it is of this dialect."""
    if isinstance(error, ProviderRefused) and error.body and error.dialect in ("openai", "responses"):
        return error.body
    return orjson.dumps({"error": error.describe()})
