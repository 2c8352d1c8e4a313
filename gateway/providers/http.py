"""The one place with `requests`: its adapter without the session around it, under deadlines that really hold.

A socket's own time-out starts anew with every byte, so a provider that drips one byte a second never meets it. Here
a response is read through `_DeadlineReader`, which gives each `recv` no more than what is left. No redirects are
followed, the environment's proxies do not apply, and nothing is decompressed.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from gateway.concurrency import at_most, give_way
from gateway.config.settings import ProviderSettings
from gateway.errors import (
    ConnectTimeout,
    GatewayError,
    StaleConnection,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

MAX_REPLY_BYTES = 33_554_432
_POOL_SIZE = 1000  # kept-alive connections to one provider; more calls at once open connections and close them
_READ_SIZE = 65_536


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


# What the connection that serves the current call must keep to: urllib3 has no way to hand it down.
_current: ContextVar[Deadlines] = ContextVar("deadlines")


class _DeadlineReader(io.RawIOBase):
    """A socket's raw reader whose every read ends at the deadline, or after `silence` seconds without a byte."""

    def __init__(self, sock: socket.socket, deadlines: Deadlines) -> None:
        super().__init__()
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)
        self._deadlines = deadlines
        self.silence = deadlines.first_byte
        self.ended = False
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadlines.left
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left if self.silence is None else min(left, self.silence))
        give_way()  # a provider whose bytes are always there already must not keep the others waiting
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
        self.reader = _DeadlineReader(sock, _current.get())
        self.fp = io.BufferedReader(self.reader)

    def begin(self) -> None:
        super().begin()
        if self.reader.ended:
            raise http.client.HTTPException("the connection ended within the headers")  # to http.client it is sound


class _ClosedBeforeAnyByte(ConnectionError):
    """A connection that had served a call before ended without one byte of response to this one."""


class _Kept:
    """Makes a connection keep to the current call's deadlines and know whether it served a call before."""

    response_class: Any = _Response
    sock: Any
    timeout: Any
    _served = False

    def connect(self) -> None:
        self._served = False  # urllib3 connects a closed connection anew
        with at_most(min(_current.get().connect, _current.get().left)):
            super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        self.timeout = max(0.001, _current.get().left)  # the connection's was for connecting; sending may take longer
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:
        try:
            response = super().getresponse()  # type: ignore[misc]
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            if self._served:
                raise _ClosedBeforeAnyByte from error
            raise
        self._served = True
        return response


class _KeptHTTP(_Kept, HTTPConnection):
    pass


class _KeptHTTPS(_Kept, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _KeptHTTPS if pool.scheme == "https" else _KeptHTTP
        return pool


class Reply:
    """An upstream response whose body is still to be read."""

    def __init__(self, response: requests.Response, deadlines: Deadlines, provider: str) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._raw: Any = response.raw
        self._deadlines = deadlines
        self._provider = provider

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            UpstreamTimeout: a deadline passed.
            UpstreamError: the connection broke, or the body is compressed or, framing included, larger than
                MAX_REPLY_BYTES.
        """
        if self.headers.get("content-encoding", "identity") != "identity":
            self.close()
            raise UpstreamError(f"The provider {self._provider!r} compressed its answer, though it was told not to.")
        reader = self._raw._original_response.reader
        whole = False
        try:
            for chunk in self._raw.stream(_READ_SIZE, decode_content=False):
                reader.silence = self._deadlines.idle
                yield chunk
            whole = True
        except (ReadTimeoutError, TimeoutError) as error:
            raise _timeout(self._provider) from error
        except (HTTPError, OSError, http.client.HTTPException, ValueError) as error:
            message = f"The provider {self._provider!r} broke off its answer."
            raise UpstreamError(message, detail=_root(error)) from error
        finally:
            if not whole:
                self.close()

    def read(self) -> bytes:
        """The whole body; raises as `chunks` does."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Close the connection, so that what is left of the body is never waited for."""
        self._raw.close()


class Transport:
    """A connection pool to one provider.

    Args:
        settings: the provider; its address, credential, proxy, CA bundle and headers go into every call.
        path: what to append to the provider's address.
        method: of every call.
    """

    def __init__(self, settings: ProviderSettings, path: str, method: Literal["POST", "GET"] = "POST") -> None:
        self._provider = settings.name
        self._adapter = _Adapter(pool_connections=4, pool_maxsize=_POOL_SIZE)
        self._verify: bool | str = settings.ca_bundle or True
        proxy = settings.proxy.reveal() if settings.proxy else None
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "llm-gateway"}
        if settings.api_key:
            headers["authorization"] = f"Bearer {settings.api_key.reveal()}"
        headers |= {name.lower(): value.reveal() for name, value in settings.headers.items()}
        self._template = requests.Request(method, settings.base_url + path, headers=headers).prepare()

    def send(self, body: bytes, headers: Mapping[str, str], deadlines: Deadlines) -> Reply:
        """Send `body` and return as soon as the response's headers are there.

        Raises:
            StaleConnection: a kept-alive connection turned out to be closed; nothing was answered.
            UpstreamUnreachable: no connection came about.
            ConnectTimeout, UpstreamTimeout: a deadline passed, before or after the connection.
            UpstreamError: the connection broke, or what came is not HTTP.
        """
        prepared = self._template.copy()
        prepared.headers.update(headers)
        prepared.headers["content-length"] = str(len(body))
        prepared.body = body
        left = max(0.001, deadlines.left)
        timeout: Any = urllib3.Timeout(connect=min(deadlines.connect, left), read=left)
        token = _current.set(deadlines)
        try:
            response = self._adapter.send(
                prepared, stream=True, timeout=timeout, verify=self._verify, proxies=self._proxies
            )
        except requests.ConnectTimeout as error:
            raise ConnectTimeout(f"The provider {self._provider!r} did not accept a connection in time.") from error
        except requests.Timeout as error:
            raise _timeout(self._provider) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._broken(error) from error
        finally:
            _current.reset(token)
        return Reply(response, deadlines, self._provider)

    def _broken(self, error: Exception) -> GatewayError:
        causes = list(_causes(error))
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return _timeout(self._provider)
        detail = f"{self._template.url}: {_root(error)}"
        if any(isinstance(cause, _ClosedBeforeAnyByte) for cause in causes):
            return StaleConnection(f"The provider {self._provider!r} closed the connection.", detail=detail)
        unreachable = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
        if isinstance(error, unreachable) or any(isinstance(cause, NewConnectionError) for cause in causes):
            return UpstreamUnreachable(f"The provider {self._provider!r} cannot be reached.", detail=detail)
        return UpstreamError(f"The connection to the provider {self._provider!r} broke.", detail=detail)


def _timeout(provider: str) -> UpstreamTimeout:
    return UpstreamTimeout(f"The provider {provider!r} did not answer in time.")


def _root(error: BaseException) -> str:
    """The innermost cause for the operator; only the system's is quoted, others may hold what the provider sent."""
    root = list(_causes(error))[-1]
    return str(root) if isinstance(root, OSError) else type(root).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and every error inside it: libraries wrap them as arguments as well as causes."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            pending += [*current.args, current.__cause__, current.__context__, getattr(current, "reason", None)]
