"""`GET /metrics`, for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from gateway.api.openapi import describe
from gateway.telemetry.metrics import Metrics


def blueprint(metrics: Metrics) -> Blueprint:
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    @describe("Prometheus' metrics", answer={"type": "string"}, media_type="text/plain")
    def show() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)

    return routes
