"""What is wrong with a request, or stands in its way."""

from __future__ import annotations

from typing import Any

from gateway.errors.base import GatewayError


class InvalidRequest(GatewayError):
    status = 400
    code = "invalid_json"
    other_codes = (
        "json_too_deep", "duplicate_key", "invalid_number", "invalid_encoding", "invalid_string", "invalid_type",
        "invalid_value",
    )  # fmt: skip
    type = "invalid_request_error"


class InvalidField(GatewayError):
    status = 400
    code = "invalid_value"
    other_codes = ("invalid_type", "missing_required_parameter", "unknown_parameter")
    type = "invalid_request_error"


class Unauthorized(GatewayError):
    status = 401
    code = "invalid_api_key"
    type = "invalid_request_error"
    default_message = (
        "Incorrect API key provided, or none. Send yours as 'x-api-key: KEY' or 'Authorization: Bearer KEY'."
    )


class ModelNotAllowed(GatewayError):
    status = 403
    code = "model_not_allowed"
    type = "invalid_request_error"
    default_message = "This key may not ask for this model. GET /v1/models lists those that it may."


class NoWebSockets(GatewayError):
    """A client that wants one goes on without it where it gets this status."""

    status = 426
    code = "websockets_unsupported"
    type = "invalid_request_error"
    default_message = "There are no WebSockets here. Send a POST; with 'stream': true the answer comes as it is made."


class NotFound(GatewayError):
    status = 404
    code = "not_found"
    type = "invalid_request_error"
    default_message = (
        "There is nothing at this path. GET /docs lists what there is; OpenAI's SDKs need a base_url ending in /v1, "
        "Anthropic's one without it."
    )


class ModelNotFound(NotFound):
    code = "model_not_found"
    default_message = "This model does not exist here."


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"
    type = "invalid_request_error"
    default_message = "This path does not take this method."


class RequestTooLarge(GatewayError):
    status = 413
    code = "request_too_large"
    type = "invalid_request_error"


class RequestTimeout(GatewayError):
    status = 408
    code = "request_timeout"
    type = "invalid_request_error"


class UnsupportedMediaType(GatewayError):
    status = 415
    code = "unsupported_media_type"
    type = "invalid_request_error"


class RateLimited(GatewayError):
    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"


class TooManyGuesses(RateLimited):
    default_message = "Too many wrong API keys came from this address. A right one is still let in."


class InsufficientQuota(GatewayError):
    status = 429
    code = "insufficient_quota"
    type = "insufficient_quota"
    client_may_retry: bool | None = False


class BudgetHeld(GatewayError):
    status = 429
    code = "budget_held"
    type = "rate_limit_error"


class LedgerUnavailable(GatewayError):
    status = 503
    code = "ledger_unavailable"
    default_message = "The gateway cannot write down what calls cost at the moment, and so makes none."

    def __init__(self, message: str | None = None, **others: Any) -> None:
        super().__init__(message, **{"retry_after": 1, **others})


class Overloaded(GatewayError):
    status = 503
    code = "overloaded"
    default_message = "The gateway has as many calls in flight as it takes. Try again in a moment."
