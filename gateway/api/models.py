"""The models that a key may ask for, as OpenAI lists them, or as Anthropic does where its version is named."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, g

from gateway.api.openapi import describe
from gateway.errors import ModelNotAllowed, ModelNotFound
from gateway.routing.router import Router
from gateway.schemas import anthropic_answers
from gateway.schemas import openai_answers as answers


def blueprint(router: Router) -> Blueprint:
    routes = Blueprint("models", __name__, url_prefix="/v1")

    @routes.get("/models")
    @describe("List the models", answer=answers.ModelListSchema)
    def models() -> dict[str, Any]:
        names = [name for name in router.names() if _allowed(name)]
        if g.record.of_anthropic:
            return anthropic_answers.models(names)
        return {"object": "list", "data": [_model(name) for name in names]}

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
        return anthropic_answers.model(model) if g.record.of_anthropic else _model(model)

    def _allowed(name: str) -> bool:
        return g.caller.models is None or bool(g.caller.may_ask(*router.asked_for(name)))

    return routes


def _model(name: str) -> dict[str, Any]:
    """A model as OpenAI lists it; when it was made, and by whom, is not for the gateway to know."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "llm-gateway"}
