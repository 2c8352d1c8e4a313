"""What every failure has."""

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
        client_may_retry: whether a retry may help, where that differs from the class's.

    Attributes:
        retryable: another target may answer.
        transient: this one may, in a moment.
        is_well: what it tells of who was called: True, it has answered; False, it has failed; None, nothing.
        may_be_billed: of a provider's failure: it may have done the work, and nobody knows how much.
        upstream_request_id: the provider's own id of the call that failed.
        last_event: of a provider's stream that ended with one that says so: it, where it is in the client's dialect.
    """

    status = 500
    code = "internal_error"
    other_codes: tuple[str, ...] = ()  # of a class that serves several
    type = "server_error"
    retryable = False
    transient = False
    is_well: bool | None = None
    may_be_billed = False
    client_may_retry: bool | None = None  # None leaves it to the client, which goes by the status
    upstream_request_id: str | None = None
    last_event = b""
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
        client_may_retry: bool | None = None,
    ) -> None:
        super().__init__(message or self.default_message)
        self.message = message or self.default_message
        self.param = param
        self.code = code or type(self).code
        self.retry_after = retry_after
        self.detail = detail
        self.limit = limit
        if client_may_retry is not None:
            self.client_may_retry = client_may_retry

    def describe(self) -> dict[str, Any]:
        """What the client is told, as OpenAI's errors have it."""
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {**told, "limit": self.limit} if self.limit else told
