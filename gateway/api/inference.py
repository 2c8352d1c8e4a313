"""`POST /inference`: a prompt in, an answer with its tokens and cost out."""

from __future__ import annotations

import re

from flask import Blueprint, Response, g, request

from gateway.api.body import read_json
from gateway.api.errors import respond
from gateway.api.openapi import ASKS_A_MODEL, describe
from gateway.errors import InvalidField, InvalidRequest
from gateway.model import Answer, CachePolicy, usd
from gateway.schemas import inference as dialect
from gateway.services.inference import Inference
from gateway.telemetry.record import RequestRecord

WRONG_FIELD = 422  # of this route alone: a wrong field of OpenAI's and Anthropic's shapes is 400

_TIMEOUT = re.compile(r"[1-9][0-9]{0,8}")


def blueprint(inference: Inference, max_body_bytes: int) -> Blueprint:
    routes = Blueprint("inference", __name__)

    @routes.post("/inference")
    @describe(
        "Ask a model",
        request=dialect.InferenceSchema,
        answer=dialect.InferenceAnswerSchema,
        statuses={InvalidField: WRONG_FIELD},
        **ASKS_A_MODEL,
    )
    def infer() -> Response:
        record: RequestRecord = g.record
        chat = dialect.read(read_json(request, max_body_bytes))
        answer = inference.complete(chat, g.caller, _cache_policy(), record, _deadline(record))
        body = dialect.write(answer, record.duration_ms, record.request_id)
        return Response(body, mimetype="application/json", headers=_headers(answer, record))

    @routes.errorhandler(InvalidField)
    def wrong_field(error: InvalidField) -> Response:
        return respond(error, WRONG_FIELD)

    return routes


def _deadline(record: RequestRecord) -> float | None:
    """The moment, in monotonic seconds, at which the client said that it stops waiting."""
    given = request.headers.get("x-gateway-timeout-ms")
    if given is None:
        return None
    if not _TIMEOUT.fullmatch(given):
        raise InvalidRequest(
            "The header x-gateway-timeout-ms must be a whole number of milliseconds, at least 1.",
            param="x-gateway-timeout-ms",
            code="invalid_value",
        )
    return record.started + int(given) / 1000


def _cache_policy() -> CachePolicy:
    """`no-cache` asks for a fresh answer, `no-store` also that it is not kept (RFC 9111, section 5.2.1)."""
    directives = {directive.strip().lower() for directive in request.headers.get("Cache-Control", "").split(",")}
    no_store = "no-store" in directives
    return CachePolicy(read=not no_store and "no-cache" not in directives, store=not no_store)


def _headers(answer: Answer, record: RequestRecord) -> dict[str, str]:
    headers = {
        "x-gateway-model": str(answer.target),
        "x-gateway-cache": record.cache or "",
        "x-gateway-attempts": str(record.attempts),
        "x-gateway-overhead-ms": str(record.overhead_ms),
    }
    if answer.cost_nano is not None:
        headers["x-gateway-cost-usd"] = usd(answer.cost_nano)
    if answer.completion.upstream_request_id:
        headers["x-gateway-upstream-request-id"] = answer.completion.upstream_request_id
    return headers
