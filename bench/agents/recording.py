"""HTTP servers on the loopback interface that remember byte for byte what came and what they answered."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
_SECONDS = 120


@dataclass(slots=True)
class Exchange:
    """One request, and what was answered; names of headers are in lower case, values of one that came twice joined.

    Attributes:
        over: the answer was sent, or nobody took it any more.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""
    over: bool = False

    @property
    def route(self) -> str:
        """The path without its query."""
        return urlsplit(self.path).path


class Answer(NamedTuple):
    """What a server is to say; the pieces of the body are sent as they come."""

    status: int
    headers: dict[str, str]
    pieces: Iterable[bytes]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, respond: Callable[[Exchange], Answer], seen: list[Exchange]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.seen = seen


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Nothing: `seen` has it all."""

    def handle(self) -> None:
        with suppress(OSError):  # the other side hung up
            super().handle()

    def _exchange(self) -> None:
        headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
        came = Exchange(self.command, self.path, headers, self._body(headers))
        self.server.seen.append(came)
        try:
            self._answer(came)
        finally:
            came.over = True

    def _answer(self, came: Exchange) -> None:
        came.status, came.answer_headers, pieces = self.server.respond(came)
        self.send_response_only(came.status)
        for name, value in came.answer_headers.items():
            self.send_header(name, value)
        framed = "content-length" in came.answer_headers or self.command == "HEAD" or came.status in (204, 304)
        if not framed:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            came.answer += piece
            self.wfile.write(piece if framed else b"%x\r\n%b\r\n" % (len(piece), piece))
        if not framed:
            self.wfile.write(b"0\r\n\r\n")

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _exchange  # noqa: N815


@contextmanager
def listening(respond: Callable[[Exchange], Answer], seen: list[Exchange]) -> Iterator[str]:
    """A server's address, while it answers as `respond` says and adds every request to `seen` as it comes."""
    server = _Server(respond, seen)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def passing_on(to: str) -> Callable[[Exchange], Answer]:
    """Answers as the server at that address does, with its very bytes."""

    def respond(came: Exchange) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(to).netloc, timeout=_SECONDS)
        headers = {name: value for name, value in came.headers.items() if name not in _HOP_BY_HOP}
        connection.request(came.method, came.path, came.body or None, headers)
        answer = connection.getresponse()
        kept = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        return Answer(answer.status, kept, _pieces(connection, answer))

    return respond


def _pieces(connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := answer.read1(65536):
            yield piece
    finally:
        connection.close()
