"""`GET /v1/usage/me`: what a caller may still use."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response, g, request

from gateway.api.openapi import describe
from gateway.errors import LedgerUnavailable
from gateway.schemas.usage import OwnUsageSchema
from gateway.services.standings import Standings

_USER = {
    "name": "user_id",
    "in": "query",
    "description": "Also the limits of this one of the tenant's users.",
    "schema": {"type": "string"},
}


def blueprint(standings: Standings) -> Blueprint:
    routes = Blueprint("usage", __name__, url_prefix="/v1/usage")

    @routes.get("/me")
    @describe("The calling key's limits", answer=OwnUsageSchema, parameters=[_USER], errors=[LedgerUnavailable])
    def me() -> Response:
        told = standings.of(g.caller, request.args.get("user_id"))
        return Response(orjson.dumps(told), mimetype="application/json")

    return routes
