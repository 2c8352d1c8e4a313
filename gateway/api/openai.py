"""OpenAI's API, for its SDKs: chat completions, completions, embeddings, models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, g, request

from gateway.api.asking import answer
from gateway.api.body import read_json
from gateway.api.openapi import ASKS_A_MODEL, describe
from gateway.errors import ModelNotAllowed, ModelNotFound
from gateway.model import ModelRequest
from gateway.routing.router import Router
from gateway.schemas import openai as dialect
from gateway.schemas import openai_answers as answers
from gateway.schemas.openai_stream import StreamWriter
from gateway.services.inference import Inference


def blueprint(inference: Inference, router: Router, max_body_bytes: int) -> Blueprint:
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

    @routes.get("/models")
    @describe("List the models", answer=answers.ModelListSchema)
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [_model(name) for name in router.names() if _allowed(name)]}

    @routes.get("/models/<path:model>")
    @describe(
        "Look a model up",
        answer=answers.ModelSchema,
        parameters=[{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
        errors=[ModelNotAllowed, ModelNotFound],
    )
    def model(model: str) -> dict[str, Any]:
        if not _allowed(model):
            raise ModelNotAllowed(param="model")
        router.candidates(model)
        return _model(model)

    def _allowed(name: str) -> bool:
        return g.caller.models is None or bool(g.caller.may_ask(*router.asked_for(name)))

    return routes


def _model(name: str) -> dict[str, Any]:
    """A model as OpenAI lists it; when it was made, and by whom, is not for the gateway to know."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "llm-gateway"}
