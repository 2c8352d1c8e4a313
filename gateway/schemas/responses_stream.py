"""OpenAI's responses and their streams, as its clients get them: a vendor's own as they came, others made of chats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.concurrency import in_turn
from gateway.errors import GatewayError, ProviderRefused
from gateway.model import Answer, Dialect, ModelRequest
from gateway.wire import responses_answers, sse
from gateway.wire.dialects import as_chat
from gateway.wire.responses_events import FromChat


def write(answer: Answer, request: ModelRequest) -> bytes:
    """A whole answer as a response to `request`."""
    completion = answer.completion
    if completion.dialect == "responses":
        return completion.body
    chat = as_chat(orjson.loads(completion.body), completion.dialect)
    return orjson.dumps(responses_answers.from_chat(chat, _document(request)))


class StreamWriter:
    """Hands a vendor's events on, and makes them of OpenAI's chunks.

    Args:
        request: for a response.
    """

    def __init__(self, request: ModelRequest) -> None:
        self._request = request
        self._made: FromChat | None = None
        self._handed_on = 0  # events

    def events(self, block: bytes, dialect: Dialect) -> bytes:
        if dialect == "responses":
            self._handed_on += block.count(b"\n\n")
            return block
        made = self._made = self._made or FromChat(_document(self._request))
        return b"".join(_written(made.events(orjson.loads(payload))) for payload in sse.payloads(block))

    def end(self, answer: Answer) -> bytes:
        return _written(self._made.end()) if self._made else b""  # the vendor's own stream has ended itself

    def error(self, error: GatewayError) -> bytes:
        number = self._made.sequence if self._made else self._handed_on
        return _event({"type": "error", "sequence_number": number, **_described(error)})


def _document(request: ModelRequest) -> dict[str, Any]:
    """The request as it came."""
    body = request.body or b"{}"
    document: dict[str, Any] = in_turn(len(body), lambda: orjson.loads(body))
    return document


def _described(error: GatewayError) -> dict[str, Any]:
    """What a client is told of an error; a provider's own refusal says what the provider said."""
    told = error.describe()
    if isinstance(error, ProviderRefused) and error.body:
        said = orjson.loads(error.body)
        if isinstance(said, dict) and isinstance(said.get("error"), dict):
            told |= {name: value for name, value in said["error"].items() if isinstance(value, str)}
    return {name: told.get(name) for name in ("code", "message", "param")}


def _written(events: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(map(_event, events))


def _event(event: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), orjson.dumps(event))
