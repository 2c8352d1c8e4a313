"""Gunicorn's workers, with our answers to what is no HTTP, and with what the master keeps of each."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import ssl
import sys
import time
from typing import Any

import orjson
from gunicorn import http as gunicorn_http
from gunicorn import workers
from gunicorn.glogging import Logger as GunicornLogger
from gunicorn.http import errors as http
from gunicorn.http import wsgi
from gunicorn.workers.base import Worker
from gunicorn.workers.ggevent import GeventWorker as GunicornGeventWorker
from gunicorn.workers.gthread import ThreadWorker as GunicornThreadWorker

from gateway.api.body import linger
from gateway.app import BOARD, COUNTERS, DIRECTORY, KEEPER, LEDGER, PLACES
from gateway.concurrency import accept_in_turn, every
from gateway.errors import GatewayError, HeadersTooLarge, InvalidHttp, UnsupportedExpectation, UriTooLong
from gateway.errors import UnsupportedTransferCoding as UnsupportedCoding
from gateway.model import new_id
from gateway.server.request import Parser, create
from gateway.telemetry.logs import log_cut_requests, log_request
from gateway.telemetry.record import RequestRecord

log = logging.getLogger(__name__)

_ERRORS: tuple[tuple[type[Exception], type[GatewayError]], ...] = (
    (http.ConfigurationProblem, GatewayError),
    (http.InvalidResponseHeader, GatewayError),
    (http.InvalidResponseHeaderName, GatewayError),
    (http.LimitRequestLine, UriTooLong),
    (http.LimitRequestHeaders, HeadersTooLarge),
    (http.UnsupportedTransferCoding, UnsupportedCoding),
    (http.ExpectationFailed, UnsupportedExpectation),
    (http.ParseException, InvalidHttp),
    (ssl.SSLError, InvalidHttp),
)
_COLLECTED = 10_000, 20, 20  # the collector's thresholds: at its 700 it mostly looks through calls under way
_BEAT = 1.0  # seconds between two looks after the counters
_GLANCE = 0.25  # and between two at what others have found out about targets
_REASONS = {400: "Bad Request", 414: "URI Too Long", 417: "Expectation Failed", 431: "Request Header Fields Too Large",
            500: "Internal Server Error", 501: "Not Implemented"}  # fmt: skip


class OurWorker(Worker):  # type: ignore[misc]
    """What both kinds of worker have in common.

    Attributes:
        slot: which metric files it counts in; None for none.
        retiring: the master counts it no longer: others have taken, or will take, its place.
        told: the master has sent it its SIGTERM.
    """

    slot: int | None = None
    retiring = False
    told = False

    def is_up(self) -> bool:
        """Whether it has begun to serve: its file has the time of its latest sign of life, on the monotonic clock,
        and until the first one the time of day, which is later by decades."""
        return bool(self.tmp.last_update() <= time.monotonic())

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer what Gunicorn could not parse, or what escaped from the application, as any other error."""
        error = next((ours for theirs, ours in _ERRORS if isinstance(exc, theirs)), GatewayError)()
        record = RequestRecord(new_id(), getattr(req, "method", None) or "-", getattr(req, "path", None) or "-")
        record.status, record.error_code = error.status, error.code
        record.client_address = addr[0] if isinstance(addr, tuple) else None
        if error.status == GatewayError.status:
            log.error("no answer could be given", exc_info=exc, extra={"request_id": record.request_id})
        log_request(record)
        body = orjson.dumps({"error": error.describe()})
        head = (
            f"HTTP/1.1 {error.status} {_REASONS[error.status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n"
            f"X-Content-Type-Options: nosniff\r\nX-Request-ID: {record.request_id}\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + body)
        except OSError:
            return  # it has gone
        linger(client)


class GeventWorker(OurWorker, GunicornGeventWorker):  # type: ignore[misc]
    """The default: a greenlet for each connection."""

    def patch(self) -> None:
        """Also share the processor between old and new connections, as Gunicorn does with several workers."""
        super().patch()
        accept_in_turn()


class ThreadWorker(OurWorker, GunicornThreadWorker):  # type: ignore[misc]
    """A pool of threads, for behind a proxy that buffers requests: a slow client holds a thread."""

    def set_accept_enabled(self, enabled: bool) -> None:
        """Also close the listeners once it stops: the kernel would go on accepting for a worker that never answers."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    def is_parent_alive(self) -> bool:
        """Also stop accepting where the master is dead, whose successor needs the address."""
        if not super().is_parent_alive():
            self.alive = False
        return bool(self.alive)


class Logger(GunicornLogger):  # type: ignore[misc]
    """Gunicorn's logger without its access log, which it would format for nobody: a request has its line already."""

    @property
    def access_log_enabled(self) -> bool:
        return False

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """A client that stopped reading is no error of ours."""
        if isinstance(sys.exc_info()[1], TimeoutError):
            self.info("hung up on a client that had stopped reading")
        else:
            super().exception(msg, *args, **kwargs)

    def reopen_files(self) -> None:
        """Also go on where a file cannot be opened again: its lines then go to standard error, line by line."""
        with contextlib.suppress(OSError):
            super().reopen_files()


def install() -> None:
    """Let `gevent` and `gthread`, as an operator writes them, mean these workers, and these use our parser, environ and
    response."""
    gunicorn_http.RequestParser = Parser
    wsgi.create = create
    workers.SUPPORTED_WORKERS.update(
        gevent=f"{__name__}.{GeventWorker.__name__}", gthread=f"{__name__}.{ThreadWorker.__name__}"
    )


def settle(worker: Worker) -> None:
    """Look up Gunicorn's settings, of which a request asks for dozens, at once for all time."""
    cfg = worker.cfg
    vars(cfg).update({name: getattr(cfg, name) for name in cfg.settings if not hasattr(type(cfg), name)})


def begin(worker: Worker) -> None:
    """Have the stores kept in order beside the requests, and no more calls than can be served, if this is our
    application: each takes a connection, which is two open files, or a thread."""
    settle(worker)
    gc.set_threshold(*_COLLECTED)
    gc.freeze()  # what is there by now stays: to look through it would hold all calls up for a tenth of a second
    extensions = getattr(worker.wsgi, "extensions", {})
    if KEEPER in extensions:
        extensions[PLACES].fit(
            worker.cfg.threads if isinstance(worker, ThreadWorker) else worker.cfg.worker_connections
        )
        extensions[DIRECTORY].tenants()  # reads what there is, which no request need wait for then
        extensions[KEEPER].start()
        every(_BEAT, extensions[COUNTERS].maintain)
        every(_GLANCE, extensions[BOARD].look)


def leave(worker: Worker) -> None:
    """Write down what is owed, and end this process with the code that it is about to end with, without the half second
    that Python takes to free the price list and the tokenizers one object after the other."""
    leaving = sys.exc_info()[1]
    log_cut_requests()
    extensions = getattr(getattr(worker, "wsgi", None), "extensions", {})
    if LEDGER in extensions:
        extensions[COUNTERS].close()
        extensions[LEDGER].close()
    logging.shutdown()
    os._exit(leaving.code if isinstance(leaving, SystemExit) and isinstance(leaving.code, int) else 0)


def before_request(worker: Worker, req: Any) -> None:
    """Let the application close the connection after a body that it does not read (`api.body`), and refuse HTTP/1.1
    without a Host, as RFC 9112 section 3.2 demands.

    Args:
        worker: Gunicorn's, serving.
        req: Gunicorn's, parsed.

    Raises:
        InvalidHeader: there is no Host.
    """
    req.body.message = req
    if req.version >= (1, 1) and not any(name == "HOST" for name, _ in req.headers):
        raise http.InvalidHeader("HOST", req=req)
