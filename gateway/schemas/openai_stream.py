"""OpenAI's streams, as the gateway's clients get them: a vendor's events as they came."""

from __future__ import annotations

import orjson

from gateway.errors import GatewayError, ProviderRefused
from gateway.model import Answer
from gateway.wire import sse
from gateway.wire.openai import without_usage


class StreamWriter:
    """Hands events on.

    Args:
        include_usage: the client asked for the usage at the end.
    """

    def __init__(self, include_usage: bool) -> None:
        self._include_usage = include_usage

    def events(self, block: bytes) -> bytes:
        return block if self._include_usage else without_usage(block)

    def end(self, answer: Answer) -> bytes:
        return sse.DONE

    def error(self, error: GatewayError) -> bytes:
        return error_event(error)


def error_event(error: GatewayError) -> bytes:
    """The event that ends a stream which broke; a provider's own refusal says what the provider said."""
    if isinstance(error, ProviderRefused) and error.body:
        return sse.event(orjson.dumps(orjson.loads(error.body)))
    return sse.event(orjson.dumps({"error": error.describe()}))
