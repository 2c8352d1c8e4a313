"""Anthropic's messages and streams, as its clients get them: a vendor's own as they came, others made of chats."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.errors import GatewayError, ProviderRefused
from gateway.model import Answer
from gateway.schemas.named_events import NamedEventWriter
from gateway.wire import anthropic_answers, sse
from gateway.wire.anthropic_events import FromChat

_TYPES = {  # https://platform.claude.com/docs/en/api/errors
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 409: "conflict_error", 413: "request_too_large", 429: "rate_limit_error",
    503: "overloaded_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip


def write(answer: Answer) -> bytes:
    """A whole answer as a message."""
    completion = answer.completion
    if completion.dialect == "anthropic":
        return completion.body
    return orjson.dumps(anthropic_answers.from_chat(orjson.loads(completion.body), answer.usage))


class StreamWriter(NamedEventWriter):
    """Writes Anthropic's events."""

    def __init__(self) -> None:
        super().__init__("anthropic", FromChat)

    def error(self, error: GatewayError) -> bytes:
        return sse.named_event(describe(error, None))


def describe(error: GatewayError, request_id: str | None) -> dict[str, Any]:
    """An error in Anthropic's shape, with what the gateway tells beside it."""
    told = error.describe()
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    beside = {name: told[name] for name in ("code", "param", "limit") if told.get(name) is not None}
    found = {"type": "error", "error": {"type": kind, "message": told["message"], **beside}}
    return found if request_id is None else {**found, "request_id": request_id}


def body_of(error: GatewayError, request_id: str) -> bytes:
    """What a client is told of an error: a vendor's own refusal byte for byte where it is of this dialect."""
    if isinstance(error, ProviderRefused) and error.body and error.dialect == "anthropic":
        return error.body
    return orjson.dumps(describe(error, request_id))
