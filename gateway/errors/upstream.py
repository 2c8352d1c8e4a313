"""What became of a call of a provider."""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.errors.base import GatewayError
from gateway.model import Dialect

# What vendors say of a prompt that is longer than the model takes; clients that shorten it look for OpenAI's code.
CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
_TOO_LONG = re.compile(
    "prompt is too long|maximum context length|exceeds? the maximum number of (?:input )?tokens", re.IGNORECASE
)


class ProviderRefused(GatewayError):
    """The provider's own 4xx about the request, passed on byte for byte.

    Args:
        status: the provider's status, one of `statuses`.
        body: the provider's JSON body, or None where it has none that can be passed on.

    Attributes:
        dialect: of the body, where it is the client's own; None where the client is told what it says.
    """

    dialect: Dialect | None = "openai"

    # 401, 402 and 403 speak of the gateway's own account, 429 of its quota.
    statuses = frozenset({400, 404, 409, 413, 415, 422})
    is_well = True
    type = "invalid_request_error"
    code = "provider_refused"

    def __init__(self, status: int, body: bytes | None = None) -> None:
        message, code = _said(body)
        super().__init__(message or f"The provider refused the request with status {status}, and does not say why.")
        self.status = status
        self.body = body
        if code == CONTEXT_LENGTH_EXCEEDED or _TOO_LONG.search(self.message):
            self.code = CONTEXT_LENGTH_EXCEEDED


def _said(body: bytes | None) -> tuple[str | None, Any]:
    """The sentence of a vendor's error and its code, which stand at the same places in all of their APIs."""
    try:
        answer = orjson.loads(body or b"")
        error = (answer[0] if isinstance(answer, list) else answer)["error"]
        return str(error["message"]), error.get("code")
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None, None


class UpstreamError(GatewayError):
    status = 502
    code = "upstream_error"
    retryable = True
    is_well: bool | None = False
    may_be_billed = True


class ProviderFailed(UpstreamError):
    """The provider itself says so.

    Args:
        transient: whether the status is one that passes.
    """

    may_be_billed = False

    def __init__(self, message: str, *, transient: bool = False, **others: Any) -> None:
        super().__init__(message, **others)
        self.transient = transient


class CredentialRested(UpstreamError):
    """The credential that was used cannot be for a while; another one of the provider's may.

    Attributes:
        rest: seconds for which it is left alone, where the provider does not ask for it.
    """

    is_well = True
    may_be_billed = False
    rest = 60.0

    @property
    def asks_for_rest(self) -> bool:
        """Whether the provider has said when it may be used again."""
        return False


class ProviderBusy(CredentialRested):
    transient = True
    rest = 5.0

    @property
    def asks_for_rest(self) -> bool:
        return self.retry_after is not None


class QuotaSpent(CredentialRested):
    client_may_retry: bool | None = False


class CredentialForbidden(CredentialRested):
    client_may_retry: bool | None = False


class CredentialRefused(CredentialRested):
    client_may_retry: bool | None = False


class AnswerTooLarge(UpstreamError):
    """Not retried: it would be as large again."""

    retryable = False
    is_well = True
    client_may_retry: bool | None = False


class UpstreamUnreachable(UpstreamError):
    may_be_billed = False
    transient = True


class ConnectionBroke(UpstreamError):
    transient = True


class StaleConnection(ConnectionBroke):
    is_well = None


class UpstreamTimeout(GatewayError):
    """No (whole) answer in time. Not retried: the provider may have done, and billed, the work."""

    status = 504
    code = "upstream_timeout"
    is_well: bool | None = False
    may_be_billed = True
    client_may_retry: bool | None = False


class ConnectTimeout(UpstreamTimeout):
    may_be_billed = False
    retryable = True
    transient = True
    client_may_retry = None


class DeadlinePassed(UpstreamTimeout):
    may_be_billed = False
    client_may_retry = None
    default_message = "The time that x-gateway-timeout-ms gives was over before a provider could be asked."


class NoProviderAvailable(GatewayError):
    status = 503
    code = "no_provider_available"
    default_message = "No provider of this model takes calls at the moment. Try again in a moment."


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
