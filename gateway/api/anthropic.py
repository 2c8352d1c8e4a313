"""Anthropic's API, for its SDKs and for agents that speak it: messages, and how many tokens they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, g, request

from gateway.api.asking import answer, exchange
from gateway.api.body import read_json
from gateway.api.lean import Whole
from gateway.api.openapi import ASKS_A_MODEL, describe
from gateway.model import ModelRequest
from gateway.schemas import anthropic as dialect
from gateway.schemas import anthropic_answers as answers
from gateway.schemas.answers import AnthropicErrorSchema
from gateway.schemas.anthropic_stream import StreamWriter, write
from gateway.services.counting import Counting
from gateway.services.inference import Inference

_PREFIX = "HTTP_ANTHROPIC_"  # of headers that bear on what the vendor answers


def blueprint(inference: Inference, counting: Counting, max_body_bytes: int) -> Blueprint:
    routes = Blueprint("anthropic", __name__, url_prefix="/v1")

    def asked(read: Callable[[dict[str, Any], bytes, Mapping[str, str]], ModelRequest]) -> ModelRequest:
        document, body = read_json(request.environ, max_body_bytes, g.record)
        return read(document, body, _headers())

    @routes.post("/messages")
    @describe(
        "Ask for a message",
        request=dialect.MessagesSchema,
        answer=answers.MessageSchema,
        streams="Anthropic's events as server-sent events; a break ends with `event: error`.",
        failure=AnthropicErrorSchema,
        **ASKS_A_MODEL,
    )
    def messages() -> Response:
        return answer(inference, asked(dialect.read_messages), write, StreamWriter())

    @routes.post("/messages/count_tokens")
    @describe(
        "Count a prompt's tokens",
        request=dialect.CountSchema,
        answer=answers.TokenCountSchema,
        failure=AnthropicErrorSchema,
        **ASKS_A_MODEL,
    )
    def count_tokens() -> Response:
        counted = counting.count(exchange(asked(dialect.read_count)))
        return Whole(b'{"input_tokens":%d}' % counted, {})

    return routes


def _headers() -> dict[str, str]:
    """Anthropic's own headers, as the vendor is to get them."""
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in request.environ.items()
        if name.startswith(_PREFIX)
    }
