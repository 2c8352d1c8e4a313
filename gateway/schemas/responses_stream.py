"""OpenAI's responses and their streams, as its clients get them: a vendor's own as they came, others made of chats."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.concurrency import in_turn
from gateway.errors import GatewayError, ProviderRefused
from gateway.model import Answer, ModelRequest
from gateway.schemas.named_events import NamedEventWriter
from gateway.wire import responses_answers, sse
from gateway.wire.dialects import as_chat
from gateway.wire.responses_events import FromChat


def write(answer: Answer, request: ModelRequest) -> bytes:
    """A whole answer as a response to `request`."""
    completion = answer.completion
    if completion.dialect == "responses":
        return completion.body
    chat = as_chat(orjson.loads(completion.body), completion.dialect)
    return orjson.dumps(responses_answers.from_chat(chat, _document(request), answer.usage))


class StreamWriter(NamedEventWriter):
    """Writes OpenAI's events.

    Args:
        request: for a response.
    """

    def __init__(self, request: ModelRequest) -> None:
        super().__init__("responses", lambda: FromChat(_document(request)))

    def error(self, error: GatewayError) -> bytes:
        told = _described(error)  # once more below `error`, where OpenAI's SDK looks for what to raise
        return sse.named_event({"type": "error", "sequence_number": self.told, **told, "error": told})


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
