"""A fake Gemini: it refuses and remembers whatever its real model would not take, and fails as it is told to."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from tests.fakes.gemini_answers import (
    answer,
    counted,
    embedded,
    error,
    events,
    exhausted,
    invalid,
    models,
    overloaded,
    wrong_key,
)
from tests.fakes.gemini_schema import COUNT, EMBED, METHODS, misfits, read
from tests.fakes.openai_vendor import Received

PROVIDER_KEY = "AIza-of-the-vendor-0123456789"
_PATH = re.compile(f"/v1beta/models/([A-Za-z0-9._-]+):({'|'.join(map(re.escape, METHODS))})")

# What a gateway has reason to send; anything else came from its client.
_HEADERS = {
    *("host", "connection", "accept", "accept-encoding", "user-agent", "content-type", "content-length"),
    *("x-goog-api-key", "x-request-id", "x-gateway-attempt"),
}
# How servers that speak Gemini's API write an event; Google's own ends its lines in CRLF.
DRESSES = {
    "gemini": "data: {}\r\n\r\n",
    "lf": "data: {}\n\n",
    "cr": "data: {}\r\r",
    "bare": "data:{}\n\n",
    "comments": ": keep-alive\n\ndata: {}\n\n\n",
}

# What Google sends beside the body.
OWN_HEADERS = {
    "vary": "Origin",
    "server": "scaffolding on HTTPServer2",
    "x-xss-protection": "0",
    "x-frame-options": "SAMEORIGIN",
    "server-timing": "gfet4t7; dur=612",
    "alt-svc": 'h3=":443"; ma=2592000',
    "set-cookie": "NID=secret; path=/; HttpOnly",
}


@dataclass
class Behaviour:
    """What is out of the ordinary; the fields may be set at any time."""

    status: int = 200
    body: bytes = b""  # of an answer whose status is not 200, where it is not Google's own
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False  # says nothing until the server ends
    pause_after: int | None = None  # this many events, until the test sets `proceed`
    break_after: int | None = None  # this many events, …
    break_by: Literal["cut", "end", "error"] = "cut"  # … in the middle of the next, cleanly, or with an error event
    cut: int = 37  # bytes of a stream that are sent at once, which splits characters and events
    dress: str = "gemini"  # one of DRESSES
    uncounted: bool = False  # embeddings come without their usage, as those of older models


class GeminiVendor:
    """Listens on 127.0.0.1.

    Args:
        behind_gateway: whether headers that an SDK sends are a complaint.
        secret: a client's key, which must be in no header.
    """

    def __init__(self, behind_gateway: bool = True, secret: str = "") -> None:
        self.received: list[Received] = []
        self.complaints: list[str] = []
        self.now = Behaviour()
        self.over = threading.Event()
        self.proceed = threading.Event()
        self.behind_gateway = behind_gateway
        self.secret = secret
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.vendor = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> GeminiVendor:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.proceed.set()
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Behave, and forget what came."""
        self.now = Behaviour()
        self.proceed.set()  # whoever waits for it goes
        self.proceed = threading.Event()
        self.received.clear()
        self.complaints.clear()

    def wrong(self, request: Received) -> list[str]:
        """What Gemini would not take, and what a gateway should not have sent."""
        headers, found = request.headers, []
        if self.behind_gateway:
            found += [f"header {name}" for name in headers if name not in _HEADERS]
            if self.secret and any(self.secret in value for value in headers.values()):
                found.append("the client's key")
        if not (path := _PATH.fullmatch(request.path)):
            return [*found, f"nothing is at {request.path}"]
        if headers.get("content-type") != "application/json":
            found.append(f"content-type is {headers.get('content-type')}")
        return found + misfits(path[1], request.body, self.behind_gateway, path[2])


class _Server(ThreadingHTTPServer):
    vendor: GeminiVendor
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: Any) -> None:
        """Nothing: the tests look at `received`."""

    def handle(self) -> None:
        with suppress(OSError):  # the other side hung up
            super().handle()

    def do_GET(self) -> None:
        if self._knows(self._receive()):
            found = self.path.partition("?")[0] == "/v1beta/models"
            self._whole(200 if found else 404, json.dumps(models()).encode() if found else error(404, "NOT_FOUND", ""))

    def do_POST(self) -> None:
        request = self._receive()
        vendor = self.server.vendor
        number, now = len(vendor.received), vendor.now
        if not self._knows(request):
            return
        if wrong := vendor.wrong(request):
            vendor.complaints += wrong
            self._whole(400, invalid("; ".join(wrong)))
        elif now.silent:
            vendor.over.wait(30)
            self.close_connection = True
        elif now.status != 200:
            own = {400: invalid("Invalid argument."), 429: exhausted(), 503: overloaded()}
            self._whole(now.status, now.body or own[now.status])
        else:
            self._answer(request, number)

    def _answer(self, request: Received, number: int) -> None:
        model, _, method = request.path.removeprefix("/v1beta/models/").partition(":")
        body = read(request.body, method)
        if method.startswith("stream"):
            self._stream(events(model, body, number))
            return
        if method == COUNT:
            found = counted(body)
        elif method == EMBED:
            found = embedded(body, not self.server.vendor.now.uncounted)
        else:
            found = answer(model, body, number)
        self._whole(200, json.dumps(found, ensure_ascii=False, indent=2).encode())

    def _receive(self) -> Received:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
        self.server.vendor.received.append(request)
        return request

    def _knows(self, request: Received) -> bool:
        """Whether it shows the key; a refusal is sent."""
        if request.headers.get("x-goog-api-key") == PROVIDER_KEY:
            return True
        self.server.vendor.complaints.append("not the vendor's key")
        self._whole(400, wrong_key())
        return False

    def _head(self, status: int, content_type: str, **framing: str) -> None:
        self.send_response(status)
        headers = {"content-type": content_type, **OWN_HEADERS, **self.server.vendor.now.headers}
        for name, value in {**headers, **{name.replace("_", "-"): value for name, value in framing.items()}}.items():
            self.send_header(name, value)
        self.end_headers()

    def _whole(self, status: int, body: bytes) -> None:
        self._head(status, "application/json; charset=UTF-8", content_length=str(len(body)))
        self.wfile.write(body)

    def _stream(self, data: Iterator[str]) -> None:
        now = self.server.vendor.now
        self._head(200, "text/event-stream", transfer_encoding="chunked")
        whole, dress = b"", DRESSES[now.dress]
        for at, event in enumerate(data):
            if at == now.break_after:
                self._break(whole, dress.format(event).rstrip().encode())
                return
            if at == now.pause_after:
                self._send(whole)
                whole = b""
                self.server.vendor.proceed.wait(30)
            whole += dress.format(event).encode()
        self._send(whole)
        self.wfile.write(b"0\r\n\r\n")

    def _break(self, before: bytes, event: bytes) -> None:
        how = self.server.vendor.now.break_by
        if how == "error":
            event = b"data: %b\r\n\r\n" % json.dumps(json.loads(overloaded())).encode()
        self._send(before + {"cut": event[: len(event) // 2], "end": b"", "error": event}[how])
        if how != "cut":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _send(self, data: bytes) -> None:
        size = self.server.vendor.now.cut
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
