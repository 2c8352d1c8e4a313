"""A fake Anthropic: it refuses and remembers whatever its real model would not take, and fails as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

from tests.fakes.anthropic_answers import answer, count, events, models
from tests.fakes.anthropic_schema import COUNT, PATHS, VERSIONS, misfits
from tests.fakes.openai_vendor import Received

PROVIDER_KEY = "sk-ant-of-the-vendor-0123456789"

# What a gateway has reason to send, beside Anthropic's own headers; anything else came from its client.
_HEADERS = {
    *("host", "connection", "accept", "accept-encoding", "user-agent", "content-type", "content-length"),
    *("x-api-key", "x-request-id", "x-gateway-attempt"),
}
# How servers that speak Anthropic's API write an event; all of it is server-sent events as the standard has them.
DRESSES = {
    "anthropic": "event: {}\ndata: {}\n\n",
    "crlf": "event: {}\r\ndata: {}\r\n\r\n",
    "cr": "event: {}\rdata: {}\r\r",
    "bare": "event:{}\ndata:{}\n\n",
    "comments": ": keep-alive\n\nevent: {}\ndata: {}\n\n\n",
}

# What Anthropic sends beside the body.
OWN_HEADERS = {
    "request-id": "req_of_the_vendor",
    "anthropic-organization-id": "org-of-the-operator",
    "anthropic-ratelimit-requests-limit": "30000",
    "anthropic-ratelimit-requests-remaining": "29999",
    "anthropic-ratelimit-requests-reset": "2026-11-30T12:00:01Z",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1999000",
    "set-cookie": "_cfuvid=secret; path=/; HttpOnly",
    "cf-ray": "8f00-FRA",
}
_ERRORS = {  # https://platform.claude.com/docs/en/api/errors
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
RETRY_AFTER = "7"  # seconds, of a refusal for its rate


def error(kind: str, message: str) -> bytes:
    """The body of an error, and the data of one in a stream."""
    told = {"type": "error", "error": {"type": kind, "message": message}, "request_id": OWN_HEADERS["request-id"]}
    return json.dumps(told).encode()


@dataclass
class Behaviour:
    """What is out of the ordinary; the fields may be set at any time."""

    status: int = 200
    body: bytes = b""  # of an answer whose status is not 200, where it is not Anthropic's own
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False  # says nothing until the server ends
    pause_after: int | None = None  # this many events, until the test sets `proceed`
    break_after: int | None = None  # this many events, …
    break_by: Literal["cut", "end", "error"] = "cut"  # … in the middle of the next, cleanly, or with an error event
    cut: int = 37  # bytes of a stream that are sent at once, which splits characters and events
    dress: str = "anthropic"  # one of DRESSES
    allow: frozenset[str] = frozenset()  # top-level fields that are no part of Anthropic's schema


class AnthropicVendor:
    """Listens on 127.0.0.1.

    Args:
        behind_gateway: whether headers that an SDK sends are a complaint.
        secret: a client's key, which must be in no header.
    """

    def __init__(self, behind_gateway: bool = True, secret: str = "") -> None:
        self.received: list[Received] = []
        self.complaints: list[str] = []
        self.now = Behaviour()
        self.cached: set[str] = set()  # prompts that need not be read again
        self.over = threading.Event()
        self.proceed = threading.Event()
        self.behind_gateway = behind_gateway
        self.secret = secret
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.vendor = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> AnthropicVendor:
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
        self.cached.clear()
        self.received.clear()
        self.complaints.clear()

    def wrong(self, request: Received) -> list[str]:
        """What Anthropic would not take, and what a gateway should not have sent."""
        headers, found = request.headers, []
        if headers.get("anthropic-version") not in VERSIONS:
            found.append(f"anthropic-version: {headers.get('anthropic-version')!r} is not a valid version")
        if self.behind_gateway:
            found += [
                f"header {name}" for name in headers if name not in _HEADERS and not name.startswith("anthropic-")
            ]
            if self.secret and any(self.secret in value for value in headers.values()):
                found.append("the client's key")
        path = request.path.partition("?")[0]
        if not request.body or path not in PATHS:
            return found if path.startswith("/v1/models") else [*found, f"nothing is at {request.path}"]
        if headers.get("content-type") != "application/json":
            found.append(f"content-type is {headers.get('content-type')}")
        return found + misfits(path, headers, json.loads(request.body), self.now.allow)

    def knows(self, request: Received) -> bool:
        """Whether it shows the key; both of Anthropic's ways are open to who is no gateway."""
        bearer = request.headers.get("authorization") if not self.behind_gateway else None
        return PROVIDER_KEY in (request.headers.get("x-api-key"), (bearer or "").removeprefix("Bearer "))


class _Server(ThreadingHTTPServer):
    vendor: AnthropicVendor
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
        if self._accepted(self._receive()):
            _, _, name = self.path.partition("?")[0].removeprefix("/v1/models").partition("/")
            listed = models()
            if name:
                listed = [model for model in listed if model["id"] == name]
                found = json.dumps(listed[0]).encode() if listed else error("not_found_error", f"model: {name}")
                self._whole(200 if listed else 404, found)
            else:
                ids = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]}
                self._whole(200, json.dumps({"data": listed, "has_more": False, **ids}).encode())

    def do_POST(self) -> None:
        request = self._receive()
        vendor = self.server.vendor
        number, now = len(vendor.received), vendor.now
        if not self._accepted(request):
            return
        body = json.loads(request.body)
        if now.silent:
            vendor.over.wait(30)
            self.close_connection = True
        elif request.path.startswith(COUNT):
            self._whole(200, json.dumps(count(body)).encode())
        elif body.get("stream"):
            self._stream(events(body, number, vendor.cached))
        else:
            self._whole(200, json.dumps(answer(body, number, vendor.cached), ensure_ascii=False).encode())

    def _receive(self) -> Received:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        request = Received(self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
        self.server.vendor.received.append(request)
        return request

    def _accepted(self, request: Received) -> bool:
        """Whether there is an answer; a refusal is sent."""
        vendor = self.server.vendor
        if not vendor.knows(request):
            vendor.complaints.append("not the vendor's key")
            self._whole(401, error(_ERRORS[401], "invalid x-api-key"))
        elif wrong := vendor.wrong(request):
            vendor.complaints += wrong
            self._whole(400, error(_ERRORS[400], "; ".join(wrong)))
        elif (status := vendor.now.status) != 200:
            self._whole(status, vendor.now.body or error(_ERRORS.get(status, "api_error"), f"It is {status} now."))
        else:
            return True
        return False

    def _head(self, status: int, content_type: str, **framing: str) -> None:
        self.send_response(status)
        headers = {"content-type": content_type, **OWN_HEADERS}
        headers |= {"retry-after": RETRY_AFTER} if status == 429 else {}
        headers |= self.server.vendor.now.headers
        for name, value in {**headers, **{name.replace("_", "-"): value for name, value in framing.items()}}.items():
            self.send_header(name, value)
        self.end_headers()

    def _whole(self, status: int, body: bytes) -> None:
        self._head(status, "application/json", content_length=str(len(body)))
        self.wfile.write(body)

    def _stream(self, data: Iterator[dict[str, Any]]) -> None:
        now = self.server.vendor.now
        self._head(200, "text/event-stream; charset=utf-8", transfer_encoding="chunked")
        whole = b""
        for at, event in enumerate(data):
            written = DRESSES[now.dress].format(event["type"], json.dumps(event, ensure_ascii=False)).encode()
            if at == now.break_after:
                self._break(whole, written.rstrip())
                return
            if at == now.pause_after:
                self._send(whole)
                whole = b""
                self.server.vendor.proceed.wait(30)
            whole += written
        self._send(whole)
        self.wfile.write(b"0\r\n\r\n")

    def _break(self, before: bytes, event: bytes) -> None:
        how = self.server.vendor.now.break_by
        if how == "error":
            event = b"event: error\ndata: %b\n\n" % error("overloaded_error", "Overloaded")
        self._send(before + {"cut": event[: len(event) // 2], "end": b"", "error": event}[how])
        if how != "cut":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _send(self, data: bytes) -> None:
        size = self.server.vendor.now.cut
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
