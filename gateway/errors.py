"""Every way a request can fail, in one tree. Each class says its status, its code and whether another
attempt at the same target or the next one can help; the message is written for the client to read.

    GatewayError                 500 internal_error
    ├── InvalidRequest           400 the request as a whole: invalid_json, json_too_deep, duplicate_key, ...
    ├── InvalidField             400 one field of its body: invalid_type, invalid_value, missing_required_parameter, ...
    ├── Unauthorized             401 invalid_api_key
    ├── NotFound                 404 not_found
    │   └── ModelNotFound        404 model_not_found
    ├── MethodNotAllowed         405 method_not_allowed
    ├── RequestTooLarge          413 request_too_large
    ├── RequestTimeout           408 request_timeout
    ├── UnsupportedMediaType     415 unsupported_media_type
    ├── InvalidHttp              400 invalid_http: the framing, before there is a request
    │   ├── UriTooLong           414 uri_too_long
    │   ├── UnsupportedExpectation     417 unsupported_expectation
    │   ├── HeadersTooLarge      431 headers_too_large
    │   └── UnsupportedTransferCoding  501 unsupported_transfer_coding
    ├── InsufficientQuota        429 insufficient_quota: a limit is spent
    ├── BudgetHeld               429 budget_held: calls in flight hold what is left of it
    ├── LedgerUnavailable        503 ledger_unavailable
    ├── ProviderRefused          4xx the provider's own answer about the request, handed on as it came
    ├── UpstreamError            502 upstream_error
    │   ├── ProviderFailed       502 it said so itself, with a 5xx or a 429
    │   ├── CredentialRefused    502 the gateway's own, which only its operator can mend
    │   ├── AnswerTooLarge       502 more than the gateway takes; bought all the same
    │   ├── UpstreamUnreachable  502 not connected: nothing was sent
    │   └── StaleConnection      502 a kept-alive connection ended before one byte of response
    ├── UpstreamTimeout          504 upstream_timeout
    │   └── ConnectTimeout       504 not connected in time: nothing was sent
    ├── ClientLeft               499 client_left: nobody is told
    └── CutOff                   503 cut_off: by a stop that could not wait longer
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class GatewayError(Exception):
    """A failure that the client is told about.

    Args:
        message: one sentence for the client: what is wrong, where, what to do. Never a secret.
        param: the request field at fault, as the client wrote it.
        code: one of the class's `other_codes` instead of its `code`.
        retry_after: seconds after which another try may succeed.
        detail: what only the operator's log may say.
        limit: which limit refused, as the client is told.

    Attributes:
        may_be_billed: of a provider's failure: it may have done the work, and nobody knows how much.
        upstream_request_id: the provider's own id of the call that failed.
    """

    status = 500
    code = "internal_error"
    other_codes: tuple[str, ...] = ()  # of a class that serves several
    type = "server_error"
    retryable = False
    may_be_billed = False
    client_may_retry: bool | None = None  # None leaves it to the client, which goes by the status
    upstream_request_id: str | None = None
    default_message = "The gateway failed to handle this request. Quote the request id when you report it."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        detail: str | None = None,
        limit: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message or self.default_message)
        self.message = message or self.default_message
        self.param = param
        self.code = code or type(self).code
        self.retry_after = retry_after
        self.detail = detail
        self.limit = limit

    def describe(self) -> dict[str, Any]:
        """What the client is told, as OpenAI's errors have it."""
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {**told, "limit": self.limit} if self.limit else told


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


class NotFound(GatewayError):
    status = 404
    code = "not_found"
    type = "invalid_request_error"
    default_message = (
        "There is nothing at this path. GET /docs lists what there is; OpenAI's SDKs need a base_url ending in /v1."
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


class InvalidHttp(GatewayError):
    status = 400
    code = "invalid_http"
    type = "invalid_request_error"
    default_message = "This is not a valid HTTP/1.1 request: its request line, a header or the framing is wrong."


class UriTooLong(InvalidHttp):
    status = 414
    code = "uri_too_long"
    default_message = "The request line is too long."


class UnsupportedExpectation(InvalidHttp):
    status = 417
    code = "unsupported_expectation"
    default_message = "Of the header Expect only '100-continue' is supported."


class HeadersTooLarge(InvalidHttp):
    status = 431
    code = "headers_too_large"
    default_message = "There are too many headers, or one of them is too long."


class UnsupportedTransferCoding(InvalidHttp):
    status = 501
    code = "unsupported_transfer_coding"
    default_message = "Of transfer codings only 'chunked' is supported."


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


class ProviderRefused(GatewayError):
    """The provider's own 4xx about the request, passed on byte for byte.

    Args:
        status: the provider's status, one of `statuses`.
        body: the provider's JSON body, or None where it has none that can be passed on.
    """

    # 401, 402 and 403 speak of the gateway's own account, 429 of its quota.
    statuses = frozenset({400, 404, 409, 413, 415, 422})
    type = "invalid_request_error"
    code = "provider_refused"

    def __init__(self, status: int, body: bytes | None = None) -> None:
        super().__init__(f"The provider refused the request with status {status}, for a reason that is not JSON.")
        self.status = status
        self.body = body


class UpstreamError(GatewayError):
    status = 502
    code = "upstream_error"
    retryable = True
    may_be_billed = True


class ProviderFailed(UpstreamError):
    may_be_billed = False


class CredentialRefused(UpstreamError):
    may_be_billed = False
    client_may_retry: bool | None = False


class AnswerTooLarge(UpstreamError):
    """Not retried: it would be as large again."""

    retryable = False
    client_may_retry: bool | None = False


class UpstreamUnreachable(UpstreamError):
    may_be_billed = False


class StaleConnection(UpstreamError):
    pass


class UpstreamTimeout(GatewayError):
    """No (whole) answer in time. Not retried: the provider may have done, and billed, the work."""

    status = 504
    code = "upstream_timeout"
    may_be_billed = True
    client_may_retry: bool | None = False


class ConnectTimeout(UpstreamTimeout):
    may_be_billed = False
    retryable = True
    client_may_retry = None


class ClientLeft(GatewayError):
    """The client closed its connection. The status is nginx's, for the log alone.

    Args:
        may_be_billed: False where the provider had not been sent anything yet.
    """

    status = 499
    code = "client_left"
    type = "invalid_request_error"
    default_message = "The client closed the connection before the answer was there."

    def __init__(self, may_be_billed: bool = True) -> None:
        super().__init__()
        self.may_be_billed = may_be_billed


class CutOff(GatewayError):
    """The gateway stopped before the answer was there; the connection ends, and the code is for the log alone."""

    status = 503
    code = "cut_off"
    default_message = "The gateway stopped before the answer was there."
