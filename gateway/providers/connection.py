"""Connections whose deadlines really hold.

A socket's own time-out starts anew with every byte, so a provider that drips one byte a second never meets it. Here
a response is read through `Reader`, which gives each `recv` no more than what is left. Relies on what
urllib3 2.8 does with `connect`, `request`, `getresponse`, `timeout` and `response_class`; the tests notice a change.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

from gateway.concurrency import Expired, HungUp, at_most, give_way, hung_up, silence, wait

MAX_REPLY_BYTES = 58_720_256  # framing included; 2,048 embeddings of 1,536 numbers have 39 MB
MAX_STREAM_BYTES = 268_435_456  # likewise; a stream has some 300 bytes for each token

_LENGTH = re.compile("[0-9]{1,18}")
_AT_ONCE = 1.0  # seconds after a request in which a connection that was closed before it shows that it was
_BRISK = 0.2  # seconds of silence after which the client is watched too
_LOOK = 0.5  # seconds after which it is looked for, silence or not


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long one upstream call may take.

    Attributes:
        connect: seconds for the connection, TLS included.
        until: monotonic seconds at which the whole call ends.
        first_by: monotonic seconds at which the body must have begun, or None for no bound but `until`.
        idle: seconds of silence between two reads of the body, or None likewise.
        client: the connection of whoever waits for the answer; once it is closed, the call ends.
        drain: seconds that the call still has then.
    """

    connect: float
    until: float
    first_by: float | None = None
    idle: float | None = None
    client: socket.socket | None = None
    drain: float = 0

    @property
    def left(self) -> float:
        return self.until - time.monotonic()

    @property
    def shortest(self) -> str:
        """Which of the times until an answer begins ends first, as it is called under `timeouts:`."""
        return "first_byte" if self.first_by is not None and self.first_by < self.until else "total"


@dataclass(slots=True)
class Call:
    """What the connection that serves a call must keep to, and how far it came.

    Attributes:
        connected: the connection stands, TLS and proxy included; from here on something may have been sent.
        until: monotonic seconds: of the connection's deadline, then of the whole call's.
        client_left: and the call goes on without it.
    """

    deadlines: Deadlines
    until: float
    connected: bool = False
    client_left: bool = False


# urllib3 has no way to hand it down to a connection.
current: ContextVar[Call] = ContextVar("call")


class TooLarge(OSError):
    """A response has more bytes than it may."""


class Reader(io.RawIOBase):
    """A socket's raw reader that keeps to the deadlines and ends where the client has left."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        super().__init__()
        self._sock = sock
        self._guard = at_most if isinstance(sock, ssl.SSLSocket) else contextlib.nullcontext
        self.call = call
        self._deadlines = call.deadlines
        self._until = call.until if call.deadlines.first_by is None else min(call.until, call.deadlines.first_by)
        self._client = call.deadlines.client
        self._looked = time.monotonic()
        self.silence: float | None = None
        self.most = MAX_REPLY_BYTES
        self.ended = False
        self.stopped = False
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.stopped:
            return 0
        count = self.receive_into(buffer, float("inf"))
        if count is None:
            raise TimeoutError("the deadline has passed")
        return count

    def receive_into(self, buffer: Any, patience: float) -> int | None:
        """Read what comes; None if nothing does for `patience` seconds, or in the time that the deadlines leave.

        Raises:
            HungUp: the client has left, and longer ago than the call may go on without it.
            TooLarge: it brought more than it may.
            OSError: the connection broke.
        """
        if self.silence is not None:
            patience = min(patience, self.silence)
        give_up = time.monotonic() + patience
        while (left := min(give_up, self._until) - time.monotonic()) > 0:
            brisk = left if self._client is None else min(left, _BRISK)
            self._sock.settimeout(brisk)
            if self._size:
                give_way()  # a provider whose bytes are always there already must not keep the others waiting
            try:
                with self._guard(brisk):
                    count = self._count(self._sock.recv_into(buffer))
            except (TimeoutError, Expired):
                self._watch(min(give_up, self._until) - time.monotonic())
                continue
            if time.monotonic() > self._looked + _LOOK:
                self._looked = time.monotonic()
                self._watch(0)
            return count
        return None

    def _watch(self, seconds: float) -> None:
        """Wait for bytes, and for the client's leaving."""
        try:
            wait(seconds, self._client, self._sock)
        except HungUp:
            if not self._deadlines.drain:
                raise
            self.drain()

    def begun(self) -> None:
        """The body has begun: from now on the deadlines are those of the rest."""
        self._until, self.silence = self._deadlines.until, self._deadlines.idle

    def drain(self) -> None:
        """Go on without the client, for as long as its provider's calls may."""
        self.call.client_left = True
        until = time.monotonic() + self._deadlines.drain
        self._deadlines = replace(self._deadlines, client=None, until=min(self._deadlines.until, until))
        self._client, self._until = None, min(self._until, until)

    def _count(self, count: int) -> int:
        self.ended = count == 0
        self._size += count
        if self._size > self.most:
            raise TooLarge(f"more than {self.most} bytes, framing included")
        return count

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self._until


class _HoldingReader(Reader):
    """A reader of a socket that http.client may close before the end."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        super().__init__(sock, call)
        self._held: Any = sock.makefile("rb", buffering=0)

    def close(self) -> None:
        if not self.closed:
            self._held.close()
        super().close()


class Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.reader = _HoldingReader(sock, current.get())
        self.fp: Any = io.BufferedReader(self.reader)

    def _read_status(self) -> tuple[str, int, str]:
        """Pass over every interim answer; http.client knows only 100 for one, and takes others for final."""
        line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        while http.HTTPStatus.CONTINUE < line[1] < http.HTTPStatus.OK:
            http.client.parse_headers(self.fp)
            line = super()._read_status()  # type: ignore[misc]
        return line

    def begin(self) -> None:
        super().begin()
        if self.reader.ended:
            raise http.client.HTTPException("the connection ended within the headers")  # to http.client it is sound
        if not all(_LENGTH.fullmatch(length.strip()) for length in self.headers.get_all("content-length", [])):
            raise http.client.HTTPException("a length that is none")  # http.client would read to the end


class ClosedBeforeAnyByte(ConnectionError):
    """A connection that had served a call before ended at once, without one byte of response to this one."""


class _Kept:
    """Makes a connection keep to the current call's deadlines and know whether it served a call before."""

    response_class: Any = Response
    sock: Any
    timeout: Any
    served = False
    silent: Callable[[], bool]  # its other end, which has not closed it either
    _sent = 0.0  # monotonic seconds

    def connect(self) -> None:
        self.served = False  # urllib3 connects a closed connection anew
        call = current.get()
        with at_most(max(0.001, call.until - time.monotonic())):
            super().connect()  # type: ignore[misc]
        self.silent = silence(self.sock)

    def begin(self) -> None:
        """From now on something may have been sent."""
        call = current.get()
        call.connected, call.until = True, call.deadlines.until

    def sent(self) -> None:
        self._sent = time.monotonic()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        self.begin()
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        finally:
            self.sent()  # also one that broke on the way: urllib3 looks for an answer all the same

    def send(self, data: Any) -> None:
        """Send `data`, for as long as the deadlines leave and the client waits: a server may accept and not read."""
        deadlines, left, timeout = current.get().deadlines, memoryview(data), self.sock.gettimeout()
        until = deadlines.until if deadlines.first_by is None else min(deadlines.until, deadlines.first_by)
        while left:
            if time.monotonic() > until:
                raise TimeoutError("the request was not read in time")
            self.sock.settimeout(_LOOK)
            try:
                left = left[self.sock.send(left) :]
            except TimeoutError:
                if deadlines.client is not None and hung_up(deadlines.client):
                    raise HungUp from None
        self.sock.settimeout(timeout)

    def getresponse(self) -> Any:
        try:
            response = super().getresponse()  # type: ignore[misc]
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.raise_if_stale(error)
            raise
        self.served = True
        return response

    def raise_if_stale(self, error: OSError) -> None:
        """Raise ClosedBeforeAnyByte for an `error` without one byte of response, unless somebody has had the request,
        and may have worked on it."""
        if self.served and time.monotonic() - self._sent < _AT_ONCE:
            raise ClosedBeforeAnyByte from error


class KeptHTTP(_Kept, HTTPConnection):
    pass


class KeptHTTPS(_Kept, HTTPSConnection):
    pass
