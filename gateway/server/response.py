"""Gunicorn's response, whose head and first part leave in one system call, as each further part does."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.http.message import TOKEN_RE
from gunicorn.http.wsgi import HEADER_VALUE_RE
from gunicorn.http.wsgi import Response as GunicornResponse
from gunicorn.util import hop_headers, http_date


class Response(GunicornResponse):  # type: ignore[misc]
    """A response over HTTP/1."""

    headers_sent: bool

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Take the application's headers, none of which may end its line and begin another; not those between us and
        the client, which are Gunicorn's own.

        Raises:
            InvalidResponseHeaderName, InvalidResponseHeader, TypeError: one is no header.
        """
        for name, value in headers:
            lower = _lower(name)
            if not isinstance(value, str):
                raise TypeError(f"{value!r} is not a string")
            if not HEADER_VALUE_RE.fullmatch(value):
                raise InvalidResponseHeader(repr(name))  # the value may be a secret
            if lower == "content-length":
                self.response_length = int(value)
            if lower not in hop_headers:
                self.headers.append((name, value.strip(" \t")))

    def send_headers(self) -> None:
        if not self.headers_sent:
            self._send(b"")

    def write(self, arg: bytes) -> None:
        """Send a part of the body, at once; of one whose length is known no more than that."""
        if self._omits_body or not isinstance(arg, bytes):
            super().write(arg)
            return
        if self.response_length is not None and len(arg) > self.response_length - self.sent:
            arg = arg[: self.response_length - self.sent]
        self.sent += len(arg)
        self._send(b"%X\r\n%b\r\n" % (len(arg), arg) if arg and self.chunked else arg)

    def close(self) -> None:
        self._send(b"0\r\n\r\n" if self.chunked else b"")

    def _send(self, data: bytes) -> None:
        if not self.headers_sent:
            self.headers_sent = True  # a call that is cut off may have sent some of it
            data = self._head() + data
        if data and (sent := self.sock.send(data)) < len(data):
            self.sock.sendall(memoryview(data)[sent:])

    def _head(self) -> bytes:
        lines = [
            f"HTTP/{self.req.version[0]}.{self.req.version[1]} {self.status}",
            f"Server: {self.version}",
            f"Date: {_date(int(time.time()))}",
            "Connection: close" if self.should_close() else "Connection: keep-alive",
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


@lru_cache(2)
def _date(second: int) -> str:
    return str(http_date(second))


@lru_cache(256)
def _lower(name: Any) -> str:
    """A header's name in lower case, if it is one."""
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is not a string")
    if not TOKEN_RE.fullmatch(name):
        raise InvalidResponseHeaderName(repr(name))
    return name.lower()
