"""A fake OpenAI: it refuses and remembers whatever its real model would not take, and fails as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from tests.fakes import openai_answers, responses_answers
from tests.fakes.openai_schema import misfits

PROVIDER_KEY = "sk-of-the-vendor-0123456789"
RESPONSES = "/v1/responses"

# What a gateway has reason to send; anything else came from its client.
_HEADERS = {
    *("host", "connection", "accept", "accept-encoding", "user-agent", "content-type", "content-length"),
    *("authorization", "x-request-id", "x-gateway-attempt"),
}
# How servers that speak OpenAI's API write an event; all of it is server-sent events as the standard has them.
DRESSES = {
    "openai": "data: {}\n\n",
    "crlf": "data: {}\r\n\r\n",
    "cr": "data: {}\r\r",
    "bare": "data:{}\n\n",
    "comments": ": PROCESSING\n\ndata: {}\n\n\n",
    "named": "event: message\nid: 1\nretry: 10\ndata: {}\n\n",
}

_ERROR = b'data: {"error": {"message": "The server had an error", "type": "server_error", "code": null}}\n\n'
_RESPONSES_ERROR = (
    b'event: error\ndata: {"type": "error", "code": "server_error", "message": "The server had an error", '
    b'"param": null, "sequence_number": 1}\n\n'
)

# What OpenAI sends beside the body.
OWN_HEADERS = {
    "x-request-id": "req_of_the_vendor",
    "openai-organization": "org-of-the-operator",
    "openai-processing-ms": "12",
    "openai-version": "2020-10-01",
    "set-cookie": "__cf_bm=secret; path=/; HttpOnly",
    "x-ratelimit-limit-requests": "30000",
    "x-ratelimit-remaining-requests": "29999",
    "cf-ray": "8f00-FRA",
}


@dataclass(frozen=True)
class Received:
    """One request as it came: names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body with numbers as they were written."""
        return json.loads(self.body, parse_float=lambda text: f"float {text}", parse_int=lambda text: f"int {text}")


@dataclass
class Behaviour:
    """What is out of the ordinary; the fields may be set at any time."""

    status: int = 200
    body: bytes = b""  # of an answer whose status is not 200
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False  # says nothing until the server ends
    pause_after: int | None = None  # this many events, until the test sets `proceed`
    break_after: int | None = None  # this many events, …
    break_by: Literal["cut", "end", "error"] = "cut"  # … in the middle of the next, cleanly, or with an error event
    cut: int = 37  # bytes of a stream that are sent at once, which splits characters and events
    dress: str = "openai"  # one of DRESSES
    allow: frozenset[str] = frozenset()  # top-level fields that are no part of OpenAI's schema


class OpenAIVendor:
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
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> OpenAIVendor:
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
        """What OpenAI would not take, and what a gateway should not have sent."""
        found = []
        if request.headers.get("authorization") != f"Bearer {PROVIDER_KEY}":
            found.append("not the vendor's key")
        if request.headers.get("content-type") != "application/json":
            found.append(f"content-type is {request.headers.get('content-type')}")
        if self.behind_gateway:
            found += [f"header {name}" for name in request.headers if name not in _HEADERS]
            if self.secret and any(self.secret in value for value in request.headers.values()):
                found.append("the client's key")
        body = json.loads(request.body)
        found += misfits(request.path, request.body, body, self.now.allow)
        return found if found or request.path != RESPONSES else responses_answers.misfits(body)


class _Server(ThreadingHTTPServer):
    vendor: OpenAIVendor
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

    def do_POST(self) -> None:
        vendor = self.server.vendor
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
        vendor.received.append(request)
        number, now = len(vendor.received), vendor.now
        if wrong := vendor.wrong(request):
            vendor.complaints += wrong
            error = {"message": "; ".join(wrong), "type": "invalid_request_error", "param": None, "code": None}
            self._whole(400, json.dumps({"error": error}).encode())
        elif now.silent:
            vendor.over.wait(30)
            self.close_connection = True
        elif now.status != 200:
            self._whole(now.status, now.body)
        elif (body := json.loads(request.body)).get("stream"):
            self._stream(_events(request.path, body, number))
        else:
            self._whole(200, json.dumps(_answer(request.path, body, number), ensure_ascii=False, indent=2).encode())

    def _head(self, status: int, content_type: str, **framing: str) -> None:
        self.send_response(status)
        headers = {"content-type": content_type, **OWN_HEADERS, **self.server.vendor.now.headers}
        for name, value in {**headers, **{name.replace("_", "-"): value for name, value in framing.items()}}.items():
            self.send_header(name, value)
        self.end_headers()

    def _whole(self, status: int, body: bytes) -> None:
        self._head(status, "application/json", content_length=str(len(body)))
        self.wfile.write(body)

    def _stream(self, data: Iterator[str]) -> None:
        now = self.server.vendor.now
        self._head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked")
        whole, dress = b"", DRESSES[now.dress]
        for at, event in enumerate(data):
            if self.path == RESPONSES:  # its events have names
                dress = DRESSES[now.dress].replace("data:", f"event: {json.loads(event)['type']}\ndata:")
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
            event = _RESPONSES_ERROR if self.path == RESPONSES else _ERROR
        self._send(before + {"cut": event[: len(event) // 2], "end": b"", "error": event}[how])
        if how != "cut":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _send(self, data: bytes) -> None:
        size = self.server.vendor.now.cut
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))


def _answer(path: str, body: dict[str, Any], number: int) -> dict[str, Any]:
    return responses_answers.answer(body, number) if path == RESPONSES else openai_answers.answer(path, body, number)


def _events(path: str, body: dict[str, Any], number: int) -> Iterator[str]:
    return responses_answers.events(body, number) if path == RESPONSES else openai_answers.events(path, body, number)
