"""OpenAI's API, for its SDKs: chat completions, responses, completions, embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g, request

from gateway.api.asking import answer
from gateway.api.body import read_json
from gateway.api.openapi import ASKS_A_MODEL, describe
from gateway.model import ModelRequest
from gateway.schemas import openai as dialect
from gateway.schemas import openai_answers as answers
from gateway.schemas import responses, responses_answers, responses_stream
from gateway.schemas.openai_stream import StreamWriter
from gateway.services.inference import Inference


def blueprint(inference: Inference, max_body_bytes: int) -> Blueprint:
    routes = Blueprint("openai", __name__, url_prefix="/v1")

    events = 'OpenAI\'s chunks as server-sent events, then `data: [DONE]`; a break ends with `data: {"error": …}`.'

    def ask(read: Callable[[dict[str, Any], bytes], ModelRequest]) -> Response:
        asked = read(*read_json(request.environ, max_body_bytes, g.record))
        writer = StreamWriter(asked.include_usage)
        return answer(inference, asked, lambda whole: whole.completion.body, writer)

    @routes.post("/chat/completions")
    @describe("Chat", request=dialect.ChatSchema, answer=answers.ChatAnswerSchema, streams=events, **ASKS_A_MODEL)
    def chat() -> Response:
        return ask(dialect.read_chat)

    @routes.post("/responses")
    @describe(
        "Ask for a response",
        request=responses.ResponsesSchema,
        answer=responses_answers.ResponseSchema,
        streams="OpenAI's events as server-sent events; a break ends with `event: error`.",
        **ASKS_A_MODEL,
    )
    def respond() -> Response:
        asked = responses.read_responses(*read_json(request.environ, max_body_bytes, g.record))
        writer = responses_stream.StreamWriter(asked)
        return answer(inference, asked, lambda whole: responses_stream.write(whole, asked), writer)

    @routes.post("/completions")
    @describe(
        "Complete a text",
        request=dialect.CompletionsSchema,
        answer=answers.CompletionsAnswerSchema,
        streams=events,
        **ASKS_A_MODEL,
    )
    def completions() -> Response:
        return ask(dialect.read_completions)

    @routes.post("/embeddings")
    @describe("Embed texts", request=dialect.EmbeddingsSchema, answer=answers.EmbeddingsAnswerSchema, **ASKS_A_MODEL)
    def embeddings() -> Response:
        return ask(dialect.read_embeddings)

    return routes
