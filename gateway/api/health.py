"""Is it up, may it get traffic, and what is this."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response

from gateway import __version__
from gateway.services.health import Health


def blueprint(health: Health) -> Blueprint:
    routes = Blueprint("health", __name__)

    @routes.get("/")
    def index() -> Response:
        return _json({"service": "llm-gateway", "version": __version__, "health": "/health", "inference": "/inference"})

    @routes.get("/health")
    @routes.get("/health/live")
    def live() -> Response:
        return _json({"status": "ok", "version": __version__})

    @routes.get("/health/ready")
    def ready() -> Response:
        status, checks = health.report()
        response = _json({"status": status, "checks": {name: {"state": state} for name, state in checks.items()}})
        response.status_code = 503 if status == "draining" else 200
        return response

    return routes


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
