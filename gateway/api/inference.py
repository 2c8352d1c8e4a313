"""`POST /inference`: a prompt in, an answer with its tokens and cost out."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from gateway.api.asking import answer
from gateway.api.body import read_json
from gateway.api.errors import respond
from gateway.api.openapi import ASKS_A_MODEL, describe
from gateway.errors import InvalidField
from gateway.schemas import inference as dialect
from gateway.services.inference import Inference
from gateway.telemetry.record import RequestRecord

WRONG_FIELD = 422  # of this route alone: a wrong field of OpenAI's and Anthropic's shapes is 400


def blueprint(inference: Inference, max_body_bytes: int) -> Blueprint:
    routes = Blueprint("inference", __name__)

    @routes.post("/inference")
    @describe(
        "Ask a model",
        request=dialect.InferenceSchema,
        answer=dialect.InferenceAnswerSchema,
        streams='`data: {"delta": "…"}` events, one with every field but `response`, then `data: [DONE]`.',
        statuses={InvalidField: WRONG_FIELD},
        **ASKS_A_MODEL,
    )
    def infer() -> Response:
        record: RequestRecord = g.record
        asked = dialect.read(read_json(request.environ, max_body_bytes, record)[0])
        return answer(
            inference,
            asked,
            lambda whole: dialect.write(whole, record.duration_ms, record.request_id),
            dialect.StreamWriter(record),
        )

    @routes.errorhandler(InvalidField)
    def wrong_field(error: InvalidField) -> Response:
        return respond(error, WRONG_FIELD)

    return routes
