"""What the fake vendors share: a server that remembers what came, and answers, is silent or breaks as it is told to."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

# What a gateway has reason to send to any vendor.
_HEADERS = {
    *("host", "connection", "accept", "accept-encoding", "user-agent", "content-type", "content-length"),
    *("x-request-id", "x-gateway-attempt"),
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
    body: bytes = b""  # of an answer whose status is not 200, where it is not the vendor's own
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False  # says nothing until the server ends
    pause_after: int | None = None  # this many events, until the test sets `proceed`
    break_after: int | None = None  # this many events, …
    break_by: Literal["cut", "end", "error"] = "cut"  # … in the middle of the next, cleanly, or with an error event
    cut: int = 37  # bytes of a stream that are sent at once, which splits characters and events
    dress: str = ""  # how an event is written


class Vendor(ABC):
    """Listens on 127.0.0.1.

    Args:
        behind_gateway: whether headers that an SDK sends are a complaint.
        secret: a client's key, which must be in no header.
    """

    behaves: ClassVar[type[Behaviour]]
    handler: ClassVar[type[Handler]]
    credential: ClassVar[str]  # the header of the key
    own_headers: ClassVar[Mapping[str, str]]  # of every answer
    root = ""  # of the API
    json_type = "application/json"
    stream_type = "text/event-stream; charset=utf-8"

    def __init__(self, behind_gateway: bool = True, secret: str = "") -> None:
        self.received: list[Received] = []
        self.complaints: list[str] = []
        self.now = self.behaves()
        self.over = threading.Event()
        self.proceed = threading.Event()
        self.behind_gateway = behind_gateway
        self.secret = secret
        self._server = _Server(("127.0.0.1", 0), self.handler)
        self._server.vendor = self
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}{self.root}"

    def __enter__(self) -> Self:
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
        self.now = self.behaves()
        self.proceed.set()  # whoever waits for it goes
        self.proceed = threading.Event()
        self.received.clear()
        self.complaints.clear()

    @abstractmethod
    def wrong(self, request: Received) -> list[str]:
        """What the vendor would not take, and what a gateway should not have sent."""

    @abstractmethod
    def refusal(self, wrong: str) -> bytes:
        """The body that says what is wrong."""

    @abstractmethod
    def answer(self, request: Received, number: int) -> bytes | Iterator[str]:
        """To the `number`th request: a body, or the events of a stream as they are written."""

    @abstractmethod
    def broken(self, path: str) -> bytes:
        """The event of a stream that ends in an error."""

    def failure(self, status: int) -> bytes:
        """The vendor's own body of an answer of such a status."""
        return b""

    def stranger(self, request: Received) -> tuple[int, bytes] | None:
        """How it is refused for its key, where that comes before whatever else is wrong."""
        return None

    def beside(self, status: int) -> dict[str, str]:
        """Headers of an answer."""
        return {**self.own_headers, **self.now.headers}

    def expects(self, header: str) -> bool:
        """Whether a gateway has reason to send it; anything else came from its client."""
        return header in _HEADERS or header == self.credential

    def passed_on(self, request: Received) -> list[str]:
        """What a gateway should have kept to itself."""
        if not self.behind_gateway:
            return []
        found = [f"header {name}" for name in request.headers if not self.expects(name)]
        has_secret = self.secret and any(self.secret in value for value in request.headers.values())
        return [*found, "the client's key"] if has_secret else found

    def mistyped(self, request: Received) -> list[str]:
        """The complaint about a body that is not said to be JSON."""
        said = request.headers.get("content-type")
        return [] if said == "application/json" else [f"content-type is {said}"]


class _Server(ThreadingHTTPServer):
    vendor: Vendor
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256


class Handler(BaseHTTPRequestHandler):
    """One connection to a vendor."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *args: Any) -> None:
        """Nothing: the tests look at `received`."""

    def handle(self) -> None:
        with suppress(OSError):  # the other side hung up
            super().handle()

    def do_POST(self) -> None:
        request = self.receive()
        vendor = self.server.vendor
        number = len(vendor.received)
        if not (self.knows(request) and self.accepts(request)):
            return
        if vendor.now.silent:
            vendor.over.wait(30)
            self.close_connection = True
        elif isinstance(found := vendor.answer(request, number), bytes):
            self.whole(200, found)
        else:
            self._stream(found)

    def receive(self) -> Received:
        """The request, which is remembered."""
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            known = headers.get(name.lower())
            headers[name.lower()] = value if known is None else f"{known}, {value}"
        request = Received(self.path, headers, self.rfile.read(int(headers.get("content-length", 0))))
        self.server.vendor.received.append(request)
        return request

    def knows(self, request: Received) -> bool:
        """Whether it is no stranger's; a refusal is sent."""
        vendor = self.server.vendor
        if (refusal := vendor.stranger(request)) is None:
            return True
        vendor.complaints.append("not the vendor's key")
        self.whole(*refusal)
        return False

    def accepts(self, request: Received) -> bool:
        """Whether there is an answer; a refusal is sent."""
        vendor = self.server.vendor
        if wrong := vendor.wrong(request):
            vendor.complaints += wrong
            self.whole(400, vendor.refusal("; ".join(wrong)))
        elif (status := vendor.now.status) != 200:
            self.whole(status, vendor.now.body or vendor.failure(status))
        else:
            return True
        return False

    def whole(self, status: int, body: bytes) -> None:
        """Send an answer in one piece."""
        self._head(status, self.server.vendor.json_type, content_length=str(len(body)))
        self.wfile.write(body)

    def _head(self, status: int, content_type: str, **framing: str) -> None:
        self.send_response(status)
        headers = {"content-type": content_type, **self.server.vendor.beside(status)}
        for name, value in {**headers, **{name.replace("_", "-"): value for name, value in framing.items()}}.items():
            self.send_header(name, value)
        self.end_headers()

    def _stream(self, events: Iterator[str]) -> None:
        vendor = self.server.vendor
        now = vendor.now
        self._head(200, vendor.stream_type, transfer_encoding="chunked")
        whole = b""
        for at, event in enumerate(events):
            if at == now.break_after:
                self._break(whole, event.rstrip().encode())
                return
            if at == now.pause_after:
                self._send(whole)
                whole = b""
                vendor.proceed.wait(30)
            whole += event.encode()
        self._send(whole)
        self.wfile.write(b"0\r\n\r\n")

    def _break(self, before: bytes, event: bytes) -> None:
        vendor = self.server.vendor
        how = vendor.now.break_by
        self._send(before + {"cut": event[: len(event) // 2], "end": b"", "error": vendor.broken(self.path)}[how])
        if how != "cut":
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def _send(self, data: bytes) -> None:
        size = self.server.vendor.now.cut
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
