"""The quick way to a provider, behind requests' adapter seam: pooled sockets and httptools' parser.

Connections are made as requests has them made, by urllib3, with its TLS and its checks; what goes over them is
written and read here. A call takes a quarter of the time that it takes through requests' own adapter.
"""

from __future__ import annotations

import contextlib
import ssl
import weakref
from collections import deque
from typing import Any

import requests
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from requests.adapters import HTTPAdapter
from requests.exceptions import SSLError
from urllib3.exceptions import ProtocolError
from urllib3.util.ssl_match_hostname import CertificateError

from gateway.providers.body import Body
from gateway.providers.connection import KeptHTTP, KeptHTTPS, Reader, current

_LONGEST_HEAD = 65_536  # bytes of an answer before its body, interim answers included
_MOST_HEADERS = 100
_MOST_WAYS = 1024
_JOINED = 65_536  # bytes of a body up to which it is sent together with the headers

Kept = KeptHTTP | KeptHTTPS


class DirectAdapter(HTTPAdapter):
    """An adapter without proxies; its responses' `raw` is a Body, and their headers have names in small letters.

    Args:
        most_kept: connections to one address that are kept; more calls at once open connections and close them.
    """

    def __init__(self, most_kept: int) -> None:
        super().__init__()
        self._most_kept = most_kept
        self._ways: dict[tuple[str, bool | str], _Way] = {}

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """Send a request of the transport's; it raises as requests' own adapter does, or as urllib3 or sockets do."""
        key = request.url or "", verify
        way = self._ways.get(key)
        if way is None:
            pool: Any = self.get_connection_with_tls_context(request, verify)
            kept = next((known.kept for known in list(self._ways.values()) if known.pool is pool), deque())
            if len(self._ways) >= _MOST_WAYS:  # clients name models, and some vendors have those in the address
                self._ways.clear()
            way = self._ways[key] = _Way(request, pool, kept, self._most_kept)
        connection = way.take() or way.connect(timeout.connect_timeout)
        body = way.ask(connection, request)
        return _Response(request, body)


class _Response(requests.Response):
    """One without a jar for cookies, which takes longer to make than all else here."""

    def __init__(self, request: requests.PreparedRequest, body: DirectBody) -> None:
        self.request, self.status_code, self.raw = request, body.status, body
        self.headers = body.headers  # type: ignore[assignment]
        self._content_consumed = False


class _Way:
    """To one address: its connections, and how requests to it begin.

    Args:
        request: one of them.
        pool: urllib3's, which knows how connections to it are made.
        kept: those that wait for a call, the latest last.
        most: of them.
    """

    def __init__(self, request: requests.PreparedRequest, pool: Any, kept: deque[Kept], most: int) -> None:
        pool.ConnectionCls = KeptHTTPS if pool.scheme == "https" else KeptHTTP
        self.pool = pool
        self.kept = kept
        self._most = most
        weakref.finalize(self, _close, kept)
        default = {"http": 80, "https": 443}[pool.scheme]
        host = f"[{pool.host}]" if ":" in pool.host else pool.host
        authority = host if pool.port in (None, default) else f"{host}:{pool.port}"
        self._line = f" {request.path_url} HTTP/1.1\r\nhost: {authority}\r\n"

    def take(self) -> Kept | None:
        """A connection that served a call before, and is still there."""
        with contextlib.suppress(IndexError):
            while True:
                connection = self.kept.pop()
                if connection.silent():
                    return connection
                connection.close()
        return None

    def connect(self, seconds: float) -> Kept:
        connection: Kept = self.pool._new_conn()
        connection.timeout = seconds
        try:
            connection.connect()
        except (ssl.SSLError, CertificateError) as error:
            connection.close()
            raise SSLError(error) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def ask(self, connection: Kept, request: requests.PreparedRequest) -> DirectBody:
        """Send a request; its answer, with the headers read."""
        try:
            self.dispatch(connection, request)
            body = DirectBody(self, connection)
            body.open()
        except BaseException:
            connection.close()  # a body that has it as well finds it closed
            raise
        connection.served = True
        return body

    def dispatch(self, connection: Kept, request: requests.PreparedRequest) -> None:
        """Send a request, in one system call where it is small."""
        headers = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
        head, content = f"{request.method}{self._line}{headers}\r\n".encode("latin-1"), request.body or b""
        connection.begin()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed
            if len(content) <= _JOINED:
                connection.send(head + content)  # type: ignore[operator]
            else:
                connection.send(head)
                connection.send(content)
        connection.sent()

    def keep(self, connection: Kept) -> None:
        if len(self.kept) < self._most:
            self.kept.append(connection)
        else:
            connection.close()


def _close(kept: deque[Kept]) -> None:
    while kept:
        kept.pop().close()


class DirectBody(Body):
    """An answer. httptools' parser calls what begins with `on_`.

    Attributes:
        status: its status.
        headers: its headers, names in small letters; what came several times is a list with commas.
    """

    def __init__(self, way: _Way, connection: Kept) -> None:
        super().__init__(Reader(connection.sock, current.get()))
        self.status = 0
        self.headers: dict[str, str] = {}
        self._way = way
        self._connection: Kept | None = connection
        self._headers = 0
        self._headed = False
        self._pieces: list[bytes] = []
        self._any = False  # of a response without a body nobody knows whether none follows
        self._parser: Any = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_headers=True)  # odd bytes in a value, which nobody here trusts

    def open(self) -> None:
        """Read the headers.

        Raises:
            ClosedBeforeAnyByte: the connection had served a call before, and did not take this one.
            ProtocolError: what came is not HTTP.
            TimeoutError: a deadline has passed.
            HungUp: the client has left.
            OSError: the connection broke.
        """
        size = 0
        while not self._headed:
            try:
                count = self.reader.receive_into(self._buffer, float("inf"))
                if count == 0 and not size:
                    raise ConnectionResetError("the connection was closed before any answer")
            except ConnectionResetError as error:
                if not size and self._connection:
                    self._connection.raise_if_stale(error)
                raise
            if count is None:
                raise TimeoutError("the deadline has passed")
            size += count
            if not count or size - sum(map(len, self._pieces)) > _LONGEST_HEAD:
                raise ProtocolError("the connection ended within the headers, or these are too long")
            try:
                self._feed(self._buffer[:count])
            except ValueError as error:
                raise ProtocolError("no HTTP") from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        self._parser = None
        if connection is None:
            return  # another call may have it by now
        if self.clean and not self._pieces:
            self._way.keep(connection)
        else:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def on_message_begin(self) -> None:
        self.clean = False  # where one has ended already, there is more than an answer

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:
            return  # a trailer
        self._headers += 1
        if self._headers > _MOST_HEADERS:
            raise ValueError("too many headers")
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        if self.ended:
            return
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200
        if self.status < 100:
            raise ValueError("no status")
        if not self._headed:
            self.headers.clear()
        elif self.headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise ValueError("an unknown encoding of the transfer")

    def on_body(self, piece: bytes) -> None:
        if not self.ended:
            self._pieces.append(piece)
            self._any = True

    def on_message_complete(self) -> None:
        if self._headed and not self.ended:
            self.ended, self.clean = True, self._any and self._parser.should_keep_alive()

    @property
    def _framed(self) -> bool:
        return "content-length" in self.headers or "transfer-encoding" in self.headers

    def _early(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _content(self, data: memoryview) -> bytes:
        self._feed(data)
        return self._early()

    def _feed(self, data: memoryview) -> None:
        """Have bytes parsed. Raises ValueError where they are no HTTP."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.clean = False
            if not self.ended:
                raise ValueError(str(error)) from error
        if self.ended:
            self._parser = None  # it knows this body, and both would stay until cycles are collected
