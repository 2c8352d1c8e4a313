"""Is it up, may it get traffic, and what is this."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response

from gateway import __version__
from gateway.api.openapi import describe
from gateway.schemas.answers import HealthSchema, IndexSchema, ReadinessSchema
from gateway.services.health import Health


def blueprint(health: Health) -> Blueprint:
    routes = Blueprint("health", __name__)

    @routes.get("/")
    @describe("What this is", answer=IndexSchema)
    def index() -> Response:
        paths = {"health": "/health", "inference": "/inference", "docs": "/docs"}
        return _json({"service": "llm-gateway", "version": __version__, **paths})

    @routes.get("/health")
    @routes.get("/health/live")
    @describe("Is the process up", answer=HealthSchema)
    def live() -> Response:
        return _json({"status": "ok", "version": __version__})

    @routes.get("/health/ready")
    @describe("What works, by name", answer=ReadinessSchema)
    def ready() -> Response:
        status, checks = health.report()
        return _json({"status": status, "checks": {name: {"state": state} for name, state in checks.items()}})

    return routes


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
