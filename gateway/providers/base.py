"""What the spine may expect of any provider, and what every provider does alike."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Protocol

import orjson

from gateway.errors import GatewayError, ProviderRefused, UpstreamError, UpstreamTimeout
from gateway.model import ChatRequest, Completion

LONGEST_RETRY_AFTER = 60  # seconds of a provider's Retry-After that are handed on

# 4xx that speak of the request itself. 401, 402 and 403 speak of the gateway's own account, 429 of its quota.
_ABOUT_THE_REQUEST = frozenset({400, 404, 409, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class Call:
    """One upstream attempt.

    Attributes:
        id: ours, and unique; the client's request id is only a label.
        attempt: 1 for the first attempt of a request.
        deadline: monotonic seconds at which the client stops waiting, or None.
    """

    id: str
    attempt: int
    deadline: float | None = None

    @property
    def expired(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


class Provider(Protocol):
    """A configured provider."""

    name: str

    def check(self) -> str:
        """Say in a few words that the provider is there. Raises GatewayError where it is not."""
        ...

    def complete(self, request: ChatRequest, model: str, call: Call) -> Completion:
        """Get a whole answer to `request` from the provider's `model`.

        Raises:
            ProviderRefused: the provider answered 4xx about the request itself.
            UpstreamError: it could not be reached, failed, or said what cannot be understood.
            UpstreamTimeout: it did not answer in time.
        """
        ...


def failure(provider: str, status: int, body: bytes, retry_after: str | None = None) -> GatewayError:
    """The error that a provider's answer other than 2xx means.

    Args:
        provider: its name, for the message.
        status: the answer's status.
        body: the answer's body; handed to the client only where it is a JSON object about the request itself.
        retry_after: the answer's Retry-After header.
    """
    if status in _ABOUT_THE_REQUEST and _is_json_object(body):
        return ProviderRefused(status, body)
    if status in (401, 403):
        return UpstreamError(f"The provider {provider!r} refused the gateway's own credential.")
    if status == 408:
        return UpstreamTimeout(f"The provider {provider!r} gave up waiting.")
    return UpstreamError(f"The provider {provider!r} answered {status}.", retry_after=_seconds(retry_after))


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def _seconds(retry_after: str | None) -> int | None:
    if retry_after is None or not re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return None
    return min(max(1, int(retry_after)), LONGEST_RETRY_AFTER)
