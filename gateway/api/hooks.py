"""What happens before and after every request: its record, the API-key guard, the common headers, the log line."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid

from flask import Flask, Response, g, request

from gateway.api.body import close_if_unread
from gateway.api.client_address import client_address
from gateway.api.rates import rate_headers
from gateway.auth.guesses import Guesses
from gateway.auth.keys import Keys
from gateway.concurrency import give_way
from gateway.config import Secret, Settings
from gateway.config.settings import Network
from gateway.errors import InvalidRequest, NotFound, Unauthorized
from gateway.services.relay import Relay
from gateway.telemetry.logs import in_flight, log_request
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import RequestRecord

METRICS = "metrics.show"

# Endpoints that anyone may use; every other needs a key.
OPEN = frozenset(
    {"health.index", "health.live", "health.ready", "docs.openapi_json", "docs.page", "docs.file", METRICS}
)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_SESSION_HEADERS = ("x-claude-code-session-id", "session-id", "x-session-affinity")
_LONGEST_LABEL = 256  # characters of a header that go into the log


def install(app: Flask, settings: Settings, keys: Keys, guesses: Guesses, metrics: Metrics) -> None:
    """Put the hooks around `app`.

    Args:
        app: the application.
        settings: whether the metrics have a token and a port of their own, and which proxies are trusted.
        keys: whom to let in.
        guesses: counts those who are not.
        metrics: counts every request that needs a key.
    """
    metrics_port = str(settings.metrics_port) if settings.metrics_port else None

    def begin() -> None:
        _begin(settings.trusted_proxies)
        metrics.inflight.inc()

    def guard() -> None:
        if metrics_port and (request.endpoint == METRICS) != (request.environ["SERVER_PORT"] == metrics_port):
            raise NotFound
        if request.routing_exception is not None:
            return  # no such route or method: nothing to guard, and 404 and 405 say nothing about keys
        if request.endpoint == METRICS and settings.metrics_token:
            _check_metrics_token(settings.metrics_token)
        if request.endpoint in OPEN:
            return
        shown = _credentials()
        try:
            g.caller = keys.authenticate(shown)
        except Unauthorized:
            metrics.refused("invalid" if shown else "missing")
            if shown:
                guesses.count(g.record.client_address)
            raise
        g.record.tenant, g.record.key_id = g.caller.tenant, g.caller.key_id

    def finish(response: Response) -> Response:
        return _finish(response, metrics)

    app.before_request(begin)
    app.before_request(guard)
    app.after_request(finish)


def _begin(trusted_proxies: tuple[Network, ...]) -> None:
    give_way()  # requests that never wait would keep their connection's turn for as long as it sends
    if request.method not in _METHODS:  # routed already; from here on it is a label, and labels must not grow
        request.method = "OTHER"
    given = request.headers.get("X-Request-ID", "")
    trace = _TRACEPARENT.fullmatch(request.headers.get("traceparent", ""))
    session = next((request.headers[name] for name in _SESSION_HEADERS if name in request.headers), None)
    g.record = RequestRecord(
        request_id=given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex,
        method=request.method,
        path=request.path[:_LONGEST_LABEL],
        client=_label(request.headers.get("User-Agent")),
        client_address=client_address(
            request.remote_addr or "", request.headers.get("X-Forwarded-For", ""), trusted_proxies
        ),
        trace_id=trace[1] if trace else None,
        session_id=_label(session),
    )
    in_flight[id(g.record)] = g.record


def _finish(response: Response, metrics: Metrics) -> Response:
    record: RequestRecord = g.record
    record.status = response.status_code
    response.headers["X-Request-ID"] = record.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.update(rate_headers(record.rates))
    close_if_unread(request, response)
    route = request.url_rule.rule if request.url_rule and request.endpoint not in OPEN else None
    silent = request.path == "/" and request.method == "HEAD"

    def end() -> None:
        if route:
            metrics.request(route, record)
        if silent:
            in_flight.pop(id(record))
        else:
            log_request(record)

    response.call_on_close(metrics.inflight.dec)
    if isinstance(response.response, Relay):
        response.call_on_close(end)  # not before the relay's own end
    else:
        end()
    return response


def _credentials() -> list[bytes]:
    """What the request shows, as bytes: its `x-api-key` and its Bearer token."""
    authorization = request.headers.get("Authorization", "")
    if "," in authorization:  # WSGI joins two headers so, and no key holds a comma
        raise InvalidRequest("Send one Authorization header.", param="authorization", code="invalid_value")
    scheme, _, token = authorization.partition(" ")
    shown = [request.headers.get("X-API-Key", ""), token.strip() if scheme.lower() == "bearer" else ""]
    return [credential.encode("latin-1") for credential in shown if credential]


def _check_metrics_token(token: Secret) -> None:
    expected = hashlib.sha256(token.reveal().encode()).digest()
    matches = [hmac.compare_digest(expected, hashlib.sha256(shown).digest()) for shown in _credentials()]
    if not any(matches):
        raise Unauthorized("The metrics need METRICS_TOKEN as 'Authorization: Bearer TOKEN'.")


def _label(value: str | None) -> str | None:
    return value[:_LONGEST_LABEL] if value else None
