"""Every failure as JSON in OpenAI's shape; nothing of a stack or of the framework gets out."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from gateway.errors import (
    GatewayError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ProviderRefused,
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


def respond(error: GatewayError) -> Response:
    """The response for `error`; its code goes into the log line."""
    g.record.error_code = error.code
    body = error.body if isinstance(error, ProviderRefused) else orjson.dumps({"error": _describe(error)})
    response = Response(body, error.status, mimetype="application/json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _describe(error: GatewayError) -> dict[str, Any]:
    return {"message": error.message, "type": error.type, "param": error.param, "code": error.code}


def _respond_to_flask(error: HTTPException) -> Response:
    known = _OF_FLASK.get(error.code or 500)
    if known is None and error.code is not None and 400 <= error.code < 500:
        known = InvalidRequest
    response = respond(known() if known else GatewayError())
    if known is InvalidRequest and error.code is not None:
        response.status_code = error.code
    if "Allow" in (headers := dict(error.get_headers())):
        response.headers["Allow"] = headers["Allow"]
    return response


def _respond_to_crash(error: Exception) -> Response:
    log.error("unhandled exception", exc_info=error, extra={"request_id": g.record.request_id})
    return respond(GatewayError())
