"""Is it up, may it get traffic, and what is this."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response

from gateway import __version__
from gateway.api.openapi import describe
from gateway.schemas.answers import HealthSchema, IndexSchema, ReadinessSchema
from gateway.services.health import Health

_SEND_NO_MORE = {
    "description": "Send no more requests here: about to stop, or without the ledger",
    "content": {"application/json": {"schema": ReadinessSchema}},
}


def blueprint(health: Health) -> Blueprint:
    routes = Blueprint("health", __name__)

    @routes.get("/")
    @describe("What this is", answer=IndexSchema)
    def index() -> Response:
        paths = {"health": "/health", "inference": "/inference", "openai": "/v1", "docs": "/docs"}
        return _json({"service": "llm-gateway", "version": __version__, **paths})

    @routes.get("/health")
    @routes.get("/health/live")
    @describe("Is the process up", answer=HealthSchema)
    def live() -> Response:
        return _json({"status": "ok", "version": __version__})

    @routes.get("/health/ready")
    @describe("What works, by name", answer=ReadinessSchema, responses={503: _SEND_NO_MORE})
    def ready() -> Response:
        status, checks = health.report()
        response = _json({"status": status, "checks": {name: {"state": state} for name, state in checks.items()}})
        response.status_code = 503 if status in ("draining", "unavailable") else 200
        return response

    return routes


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
