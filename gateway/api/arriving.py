"""What a request says of itself before it is routed, from its WSGI environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.api.client_address import client_address
from gateway.config.settings import Network
from gateway.errors import InvalidRequest
from gateway.model import new_id
from gateway.telemetry.logs import in_flight
from gateway.telemetry.record import RequestRecord

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_SESSION_HEADERS = ("HTTP_X_CLAUDE_CODE_SESSION_ID", "HTTP_SESSION_ID", "HTTP_X_SESSION_AFFINITY")
_TIMEOUT = re.compile(r"[1-9][0-9]{0,8}")
_LONGEST_LABEL = 256  # characters of a header that go into the log


def begin_record(environ: Mapping[str, Any], trusted_proxies: tuple[Network, ...]) -> RequestRecord:
    """The record of a request that begins now, among those in flight."""
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
    given = environ.get("HTTP_X_REQUEST_ID", "")
    trace = _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    session = next((environ[name] for name in _SESSION_HEADERS if name in environ), None)
    record = RequestRecord(
        request_id=given if _REQUEST_ID.fullmatch(given) else new_id(),
        method=method if method in METHODS else "OTHER",
        path=("/" + path.lstrip("/"))[:_LONGEST_LABEL],
        client=_label(environ.get("HTTP_USER_AGENT")),
        client_address=client_address(
            environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), trusted_proxies
        ),
        trace_id=trace[1] if trace else None,
        session_id=_label(session),
        of_anthropic=_is_of_anthropic(path, environ),
    )
    in_flight[id(record)] = record
    return record


def _is_of_anthropic(path: str, environ: Mapping[str, Any]) -> bool:
    return path.startswith("/v1/m") and (
        path.startswith("/v1/messages") or (path.startswith("/v1/models") and "HTTP_ANTHROPIC_VERSION" in environ)
    )


def credentials(environ: Mapping[str, Any]) -> list[bytes]:
    """What the request shows, as bytes: its `x-api-key` and its Bearer token.

    Raises:
        InvalidRequest: it shows two of the latter.
    """
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    if "," in authorization:  # WSGI joins two headers so, and no key holds a comma
        raise InvalidRequest("Send one Authorization header.", param="authorization", code="invalid_value")
    scheme, _, token = authorization.partition(" ")
    shown = [environ.get("HTTP_X_API_KEY", ""), token.strip() if scheme.lower() == "bearer" else ""]
    return [credential.encode("latin-1") for credential in shown if credential]


def deadline(environ: Mapping[str, Any], record: RequestRecord) -> float | None:
    """The moment, in monotonic seconds, at which the client said that it stops waiting; None where it has not said so.
    Raises InvalidRequest."""
    given = environ.get("HTTP_X_GATEWAY_TIMEOUT_MS")
    if given is None:
        return None
    if not _TIMEOUT.fullmatch(given):
        raise InvalidRequest(
            "The header x-gateway-timeout-ms must be a whole number of milliseconds, at least 1.",
            param="x-gateway-timeout-ms",
            code="invalid_value",
        )
    return record.started + int(given) / 1000


def _label(value: str | None) -> str | None:
    return value[:_LONGEST_LABEL] if value else None
