"""Every failure as JSON in the shape of its route's dialect; nothing of a stack or of the framework gets out."""

from __future__ import annotations

import logging

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gateway.api.asking import gateway_headers
from gateway.api.dialects import error_body
from gateway.concurrency import give_way
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    NoWebSockets,
    RequestTooLarge,
    UnsupportedMediaType,
)

log = logging.getLogger(__name__)

_OF_FLASK: dict[int, type[GatewayError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: RequestTooLarge,
    415: UnsupportedMediaType,
}


def install(app: Flask) -> None:
    app.register_error_handler(GatewayError, respond)
    app.register_error_handler(HTTPException, _respond_to_flask)
    app.register_error_handler(Exception, _respond_to_crash)


def respond(error: GatewayError, status: int | None = None) -> Response:
    """The response for `error`; its code goes into the log line. `status` replaces the error's own."""
    give_way()  # a call that is refused may not have waited for anything
    g.record.error_code = error.code
    body = error_body(g.record, error)
    response = Response(body, status or error.status, mimetype="application/json")
    if g.record.attempts:
        response.headers.update(gateway_headers(g.record))
    elif g.record.tried:
        response.headers["x-gateway-attempts"] = "0"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.client_may_retry is not None:
        response.headers["x-should-retry"] = str(error.client_may_retry).lower()
    return response


def _respond_to_flask(error: HTTPException) -> Response:
    status = error.code or 500
    if status in (400, 405) and request.headers.get("Upgrade", "").lower() == "websocket":
        return respond(NoWebSockets())
    if status in _OF_FLASK:
        response = respond(_OF_FLASK[status]())
    elif 400 <= status < 500:
        response = respond(InvalidRequest("This request cannot be understood."), status)
    else:
        response = respond(GatewayError())
    response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
    return response


def _respond_to_crash(error: Exception) -> Response:
    log.error("unhandled exception", exc_info=error, extra={"request_id": g.record.request_id})
    return respond(GatewayError())
