"""The gate in front of the application: what a worker cannot take on is refused before it costs anything."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from werkzeug.http import HTTP_STATUS_CODES

from gateway.api.arriving import begin_record, credentials, deadline
from gateway.api.body import close_if_unread
from gateway.api.dialects import error_body, own_headers
from gateway.auth.keys import Keys
from gateway.concurrency import Bell, HungUp, give_way, wait
from gateway.config.settings import Network
from gateway.errors import ClientLeft, DeadlinePassed, GatewayError, Overloaded
from gateway.policy.places import Ask, Places, State
from gateway.telemetry.logs import log_request
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import RequestRecord

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LONG_TURN = 0.005  # seconds until all others that could go on have: a few dozen refusals are as long

RECORD, CALLER = "gateway.record", "gateway.caller"  # of the environment: what the application need not find out again


class Gate:
    """A WSGI layer that lets so many requests to models in as there are places. All others pass.

    Args:
        app: the application.
        paths: where models are asked.
        places: who may be in flight.
        keys: who asks. Whom they do not know the application refuses, and it costs nobody a place.
        metrics: counts who is refused.
        trusted_proxies: where an X-Forwarded-For is believed.
    """

    def __init__(
        self,
        app: WSGIApplication,
        paths: Iterable[str],
        places: Places,
        keys: Keys,
        metrics: Metrics,
        trusted_proxies: tuple[Network, ...],
    ) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._places = places
        self._keys = keys
        self._metrics = metrics
        self._trusted_proxies = trusted_proxies
        self._lock = threading.Lock()
        self._hard_pressed = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST" or environ.get("PATH_INFO") not in self._paths:
            return self._app(environ, start_response)
        try:
            caller = self._keys.authenticate(credentials(environ))
        except GatewayError:
            return self._app(environ, start_response)
        record = begin_record(environ, self._trusted_proxies)
        record.tenant, record.key_id = caller.tenant, caller.key_id
        environ[RECORD], environ[CALLER] = record, caller
        ask, bell = self._ask(caller.tenant)
        try:
            if bell:
                self._wait(ask, bell, record, environ)
            if ask.state is not State.IN:
                raise Overloaded(retry_after=self._places.retry_after(time.monotonic()))
            return _Parts(self._app(environ, start_response), partial(self._leave, ask))
        except BaseException as error:
            self._leave(ask)
            if isinstance(error, GatewayError):
                return self._refuse(environ, start_response, record, error)
            raise

    def _ask(self, tenant: str) -> tuple[Ask, Bell | None]:
        """Ask for a place; with a bell that rings when a wait for it is over."""
        with self._lock:
            ask, bell = self._places.ask(tenant, time.monotonic()), None
            if ask.state is State.WAITS:
                try:
                    bell = Bell()
                    ask.told = bell.ring
                except OSError:  # too many open files
                    self._places.leave(ask, time.monotonic())
            return ask, bell

    def _wait(self, ask: Ask, bell: Bell, record: RequestRecord, environ: WSGIEnvironment) -> None:
        """Wait until it is in or out, no longer than one may. Raises ClientLeft, DeadlinePassed, InvalidRequest."""
        began = time.monotonic()
        self._metrics.queued.inc()
        try:
            longest, until = self._places.seconds, deadline(environ, record)
            left = math.inf if until is None else until - began
            wait(min(longest, left), environ.get("gunicorn.socket"), bell)
            if left < longest and ask.state is State.WAITS:
                raise DeadlinePassed
        except HungUp:
            raise ClientLeft from None
        finally:
            self._metrics.queued.dec()
            record.waited_seconds += time.monotonic() - began
            with self._lock:
                if ask.state is State.WAITS:
                    self._places.leave(ask, time.monotonic())
                bell.close()  # nobody rings it any more

    def _leave(self, ask: Ask) -> None:
        with self._lock:
            self._places.leave(ask, time.monotonic())

    def _refuse(
        self, environ: WSGIEnvironment, start_response: StartResponse, record: RequestRecord, error: GatewayError
    ) -> Iterable[bytes]:
        record.status, record.error_code = error.status, error.code
        body = error_body(record, error)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("X-Request-ID", record.request_id),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
            *own_headers(record),
        ]
        if error.retry_after is not None:
            headers.append(("Retry-After", str(error.retry_after)))
        linger = close_if_unread(environ, anyway=self._hard_pressed)
        start_response(f"{error.status} {HTTP_STATUS_CODES.get(error.status, 'UNKNOWN')}", headers)
        self._metrics.request(environ["PATH_INFO"], record)
        if isinstance(error, Overloaded):
            self._metrics.shed(record.tenant or "")
        log_request(record)
        return _Parts([body], partial(self._refused, linger))

    def _refused(self, linger: Callable[[], None] | None) -> None:
        """Let others have their turn, and see how long they take. Where that is long, who is refused shall come back on
        another connection: those wait in the kernel, while to read and refuse a request takes a fifth of an answer."""
        if linger:
            linger()
        began = time.monotonic()
        give_way()
        self._hard_pressed = time.monotonic() - began > _LONG_TURN


class _Parts:
    """A response's parts, and what is to be done once the server has closed them, whatever happens."""

    def __init__(self, parts: Iterable[bytes], ended: Callable[[], Any]) -> None:
        self._parts = parts
        self._ended = ended

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def close(self) -> None:
        try:
            if hasattr(self._parts, "close"):
                self._parts.close()
        finally:
            self._ended()
