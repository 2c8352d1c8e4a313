"""Connections whose deadlines really hold.

A socket's own time-out starts anew with every byte, so a provider that drips one byte a second never meets it. Here
a response is read through `_DeadlineReader`, which gives each `recv` no more than what is left. Relies on what
urllib3 2.8 does with `connect`, `request`, `getresponse`, `timeout` and `response_class`; the tests notice a change.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

from gateway.concurrency import at_most, give_way

MAX_REPLY_BYTES = 33_554_432


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long one upstream call may take.

    Attributes:
        connect: seconds for the connection, TLS included.
        until: monotonic seconds at which the whole call ends.
        first_byte: seconds until the first byte of the body, or None for no bound but `until`.
        idle: seconds of silence between two reads of the body, or None likewise.
    """

    connect: float
    until: float
    first_byte: float | None = None
    idle: float | None = None

    @property
    def left(self) -> float:
        return self.until - time.monotonic()


@dataclass(slots=True)
class Call:
    """What the connection that serves a call must keep to, and how far it came.

    Attributes:
        connected: the connection stands, TLS and proxy included; from here on something may have been sent.
        until: monotonic seconds: of the connection's deadline, then of the whole call's.
    """

    deadlines: Deadlines
    until: float
    connected: bool = False


# urllib3 has no way to hand it down to a connection.
current: ContextVar[Call] = ContextVar("call")


class _DeadlineReader(io.RawIOBase):
    """A socket's raw reader whose every read ends at the deadline, or after `silence` seconds without a byte."""

    def __init__(self, sock: socket.socket, until: float, silence: float | None) -> None:
        super().__init__()
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._until = until
        self._guard = at_most if isinstance(sock, ssl.SSLSocket) else contextlib.nullcontext
        self.silence = silence
        self.ended = False
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        wait = left if self.silence is None else min(left, self.silence)
        self._sock.settimeout(wait)
        give_way()  # a provider whose bytes are always there already must not keep the others waiting
        with self._guard(wait):
            count: int | None = self._raw.readinto(buffer)
        self.ended = count == 0
        self._size += count or 0
        if self._size > MAX_REPLY_BYTES:
            raise OSError(f"more than {MAX_REPLY_BYTES} bytes, framing included")
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        call = current.get()
        self.reader = _DeadlineReader(sock, call.until, call.deadlines.first_byte)
        self.fp = io.BufferedReader(self.reader)

    def begin(self) -> None:
        super().begin()
        if self.reader.ended:
            raise http.client.HTTPException("the connection ended within the headers")  # to http.client it is sound


class ClosedBeforeAnyByte(ConnectionError):
    """A connection that had served a call before ended without one byte of response to this one."""


class _Kept:
    """Makes a connection keep to the current call's deadlines and know whether it served a call before."""

    response_class: Any = _Response
    sock: Any
    timeout: Any
    _served = False

    def connect(self) -> None:
        self._served = False  # urllib3 connects a closed connection anew
        call = current.get()
        with at_most(max(0.001, call.until - time.monotonic())):
            super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        call = current.get()
        call.connected, call.until = True, call.deadlines.until
        self.timeout = max(0.001, call.deadlines.left)  # so far it was for connecting; sending may take longer
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:
        try:
            response = super().getresponse()  # type: ignore[misc]
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            if self._served:
                raise ClosedBeforeAnyByte from error
            raise
        self._served = True
        return response


class KeptHTTP(_Kept, HTTPConnection):
    pass


class KeptHTTPS(_Kept, HTTPSConnection):
    pass
