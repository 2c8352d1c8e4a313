"""What happens before and after every request: its record, the API-key guard, the common headers, the log line."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any, cast

from flask import Flask, Request, Response, g, request

from gateway.api.arriving import METHODS, begin_record, credentials
from gateway.api.body import close_if_unread
from gateway.api.dialects import own_headers
from gateway.api.gate import CALLER, RECORD
from gateway.api.rates import rate_headers
from gateway.auth.guesses import Guesses
from gateway.auth.keys import Keys
from gateway.concurrency import give_way
from gateway.config import Secret, Settings
from gateway.errors import NotFound, Unauthorized
from gateway.model import Caller
from gateway.services.relay import Relay
from gateway.telemetry.logs import in_flight, log_request
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import RequestRecord

METRICS = "metrics.show"

# Endpoints that anyone may use; every other needs a key.
OPEN = frozenset(
    {"health.index", "health.live", "health.ready", "docs.openapi_json", "docs.page", "docs.file", METRICS}
)


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
        asked, known = _request(), _globals()
        if RECORD not in asked.environ:  # who never waits would keep the turn for as long as its connection sends
            give_way()
        if asked.method not in METHODS:  # routed already; from here on it is a label, and labels must not grow
            asked.method = "OTHER"
        known.record = asked.environ.get(RECORD) or begin_record(asked.environ, settings.trusted_proxies)
        metrics.inflight.inc()

    def guard() -> None:
        asked, known = _request(), _globals()
        environ, endpoint = asked.environ, asked.endpoint
        if metrics_port and (endpoint == METRICS) != (environ["SERVER_PORT"] == metrics_port):
            raise NotFound
        if asked.routing_exception is not None:
            return  # no such route or method: nothing to guard, and 404 and 405 say nothing about keys
        if endpoint == METRICS:
            _check_metrics_token(settings.metrics_token)
        if endpoint in OPEN:
            return
        caller = known.caller = environ.get(CALLER) or _authenticate(keys, guesses, metrics)
        record: RequestRecord = known.record
        record.tenant, record.key_id = caller.tenant, caller.key_id

    def finish(response: Response) -> Response:
        return _finish(response, metrics)

    app.before_request(begin)
    app.before_request(guard)
    app.after_request(finish)


def _request() -> Request:
    """The request itself: through Flask's proxy each look costs as much as finding it."""
    return cast(Request, cast(Any, request)._get_current_object())


def _globals() -> Any:
    """The same of Flask's `g`."""
    return g._get_current_object()


def _finish(response: Response, metrics: Metrics) -> Response:
    record: RequestRecord = g.record
    asked = _request()
    environ, endpoint, rule = asked.environ, asked.endpoint, asked.url_rule and asked.url_rule.rule
    record.status = response.status_code
    headers = [("X-Request-ID", record.request_id), ("X-Content-Type-Options", "nosniff")]
    if "Cache-Control" not in response.headers:
        headers.append(("Cache-Control", "no-store"))
    response.headers.extend([*headers, *own_headers(record), *rate_headers(record.rates)])
    counted = rule if endpoint not in OPEN else None
    probe = asked.path == "/" and asked.method == "HEAD"
    is_whole = not isinstance(response.response, Relay)

    def end() -> None:
        """Whoever has the answer need not wait for this."""
        if not in_flight.pop(id(record), None):
            return  # a response that is closed twice
        metrics.inflight.dec()
        if counted and not is_whole:
            metrics.request(counted, record)
        if not probe:
            log_request(record)

    if asked.path != "/":
        metrics.http(asked.method, str(rule), record)
    if is_whole:
        record.ended = time.monotonic()
        if counted:  # before it is sent: the totals are those of all answers, even if this worker is killed
            metrics.request(counted, record)
    response.call_on_close(end)
    if linger := close_if_unread(environ):
        response.call_on_close(linger)
    return response


def _authenticate(keys: Keys, guesses: Guesses, metrics: Metrics) -> Caller:
    shown = credentials(request.environ)
    try:
        return keys.authenticate(shown)
    except Unauthorized:
        metrics.refused("invalid" if shown else "missing")
        if shown:
            guesses.count(g.record.client_address)
        raise


def _check_metrics_token(token: Secret | None) -> None:
    if token is None:
        return
    expected = hashlib.sha256(token.reveal().encode()).digest()
    matches = [hmac.compare_digest(expected, hashlib.sha256(shown).digest()) for shown in credentials(request.environ)]
    if not any(matches):
        raise Unauthorized("The metrics need METRICS_TOKEN as 'Authorization: Bearer TOKEN'.")
