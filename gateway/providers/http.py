"""Calls over one of `requests`' adapters, without the session around it.

No redirects are followed, the environment's proxies do not apply, and nothing is decompressed.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import BaseAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from gateway.concurrency import Expired, HungUp
from gateway.config.settings import ProviderSettings
from gateway.config.vendors import OPENAI_API, Api
from gateway.errors import (
    AnswerTooLarge,
    ClientLeft,
    ConnectionBroke,
    ConnectTimeout,
    GatewayError,
    StaleConnection,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.providers import connection
from gateway.providers.body import Body
from gateway.providers.connection import Call, ClosedBeforeAnyByte, Deadlines, current
from gateway.providers.direct import DirectAdapter
from gateway.providers.plain import PlainAdapter

_POOL_SIZE = 1000  # kept-alive connections to one provider; more calls at once open connections and close them
ADAPTERS: dict[str, Callable[[int], BaseAdapter]] = {"direct": DirectAdapter, "requests": PlainAdapter}
_TIMED_OUT = (TimeoutError, ConnectTimeoutError, ReadTimeoutError, Expired)


class Reply:
    """An upstream response whose body is still to be read."""

    def __init__(self, response: requests.Response, provider: str) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        raw: Any = response.raw
        self._body: Body = raw
        self._reader = self._body.reader
        self._provider = provider

    def arrivals(self, heartbeat: float = float("inf"), most_bytes: int | None = None) -> Generator[bytes]:
        """Yield the body as it comes.

        Args:
            heartbeat: seconds of silence after each of which b"" is yielded.
            most_bytes: of the response, framing included; MAX_REPLY_BYTES if not given.

        Raises:
            UpstreamTimeout: a deadline passed.
            AnswerTooLarge: there is more of it.
            UpstreamError: the connection broke, or the body is compressed.
            ClientLeft: nobody waits for it any more.
        """
        self._reader.most = most_bytes or connection.MAX_REPLY_BYTES
        try:
            if self.headers.get("content-encoding", "identity") != "identity":
                raise UpstreamError(f"The provider {self._provider!r} compressed its answer, though told not to.")
            yield from self._body.arrivals(heartbeat)
        except HungUp:
            raise ClientLeft from None
        except (OSError, ValueError) as error:
            if self._reader.call.client_left:
                raise ClientLeft from error
            if isinstance(error, TimeoutError):
                failure = _timeout(self._provider, str(error))
                if self._reader.silence is not None and self._reader.expired:
                    failure.is_well = None  # a stream that was merely long
                raise failure from error
            if isinstance(error, connection.TooLarge):
                raise too_large(self._provider, str(error)) from error
            message = f"The provider {self._provider!r} broke off its answer."
            raise UpstreamError(message, detail=_root(error)) from error
        finally:
            self.close()

    def read(self, most_bytes: int | None = None) -> bytes:
        """The whole body; takes and raises what `arrivals` does."""
        body = io.BytesIO()  # a list of the pieces would take as much again when they are joined
        for piece in self.arrivals(most_bytes=most_bytes):
            body.write(piece)
        return body.getvalue()

    def finish(self, patience: float) -> None:
        """Read the end of the body, if that is all that is missing and it comes within `patience` seconds."""
        with contextlib.suppress(OSError, ValueError, HungUp):
            self._body.finish(patience)

    def drain(self) -> None:
        """Let what is left come without the client, for as long as the provider's calls may."""
        self._reader.drain()

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it: what is left is never waited for."""
        self._body.close()


class Transport:
    """A connection pool to one provider.

    Args:
        settings: the provider; its address, credential, proxy, CA bundle and headers go into every call.
        paths: what calls append to the provider's address.
        api: that it speaks.
    """

    def __init__(self, settings: ProviderSettings, *paths: str, api: Api = OPENAI_API) -> None:
        self._provider = settings.name
        self._adapter = ADAPTERS["requests" if settings.proxy else settings.transport](_POOL_SIZE)
        self._verify: bool | str = settings.ca_bundle or True
        proxy = settings.proxy.reveal() if settings.proxy else None
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        headers = {"content-type": "application/json", "accept": "application/json", "user-agent": "llm-gateway"}
        headers["accept-encoding"] = "identity"
        own = {name.lower(): value.reveal() for name, value in settings.headers.items()}
        headers |= own
        credentials = [{**_shown(api, key.reveal()), **own} for key in settings.api_keys] or [{}]
        root = settings.base_url.removesuffix(api.root) + api.root
        self._templates = {
            (path, key): _checked(root + path, {**api.headers, **headers, **credential})
            for path in paths
            for key, credential in enumerate(credentials)
        }

    def send(
        self,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        deadlines: Deadlines,
        key: int = 0,
        suffix: str = "",
    ) -> Reply:
        """Send a request and return as soon as the response's headers are there.

        Args:
            path: one of the transport's.
            body: of a POST; None for a GET.
            headers: beside those of every call.
            deadlines: how long it may take.
            key: which of the provider's credentials to show.
            suffix: of the path, where that holds what is not known beforehand; written as in an address.

        Raises:
            StaleConnection: a kept-alive connection turned out to be closed; nothing was answered.
            UpstreamUnreachable: no connection came about.
            ConnectTimeout, UpstreamTimeout: a deadline passed, before or after the connection.
            ConnectionBroke: so it did.
            UpstreamError: what came is not HTTP.
            ClientLeft: nobody waits for an answer any more.
        """
        url, common = self._templates[path, key]
        prepared = requests.PreparedRequest()  # by hand: its own way there takes longer than a call of a provider
        prepared.method, prepared.url, prepared.body = "GET" if body is None else "POST", url + suffix, body
        own: Any = {**common, **headers, "Content-Length": str(len(body or b""))}
        prepared.headers = own
        left = max(0.001, deadlines.left)
        timeout: Any = urllib3.Timeout(connect=min(deadlines.connect, left), read=left)
        call = Call(deadlines, until=time.monotonic() + min(deadlines.connect, left))
        token = current.set(call)
        try:
            response = self._adapter.send(
                prepared, stream=True, timeout=timeout, verify=self._verify, proxies=self._proxies
            )
        except (requests.RequestException, HTTPError, OSError, Expired) as error:
            if call.client_left:
                raise ClientLeft(may_be_billed=call.connected) from error
            raise self._failure(error, call.connected, url, deadlines) from error
        except HungUp:
            raise ClientLeft(may_be_billed=call.connected) from None
        finally:
            current.reset(token)
        return Reply(response, self._provider)

    def _failure(self, error: Exception, connected: bool, url: str, deadlines: Deadlines) -> GatewayError:
        causes = list(_causes(error))
        detail = f"{url}: {_root(error)}"
        if any(isinstance(cause, NewConnectionError) for cause in causes):  # urllib3 counts it among its time-outs
            return UpstreamUnreachable(f"The provider {self._provider!r} cannot be reached.", detail=detail)
        if any(isinstance(cause, _TIMED_OUT) for cause in causes):
            if connected:
                return _timeout(self._provider, f"no answer within {deadlines.shortest}")
            message = f"The provider {self._provider!r} did not accept a connection in time."
            return ConnectTimeout(message, detail=detail)
        if any(isinstance(cause, ClosedBeforeAnyByte) for cause in causes):
            return StaleConnection(f"The provider {self._provider!r} closed the connection.", detail=detail)
        if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
            return UpstreamUnreachable(f"The provider {self._provider!r} cannot be reached.", detail=detail)
        kind = ConnectionBroke if any(isinstance(cause, ConnectionError) for cause in causes) else UpstreamError
        return kind(f"The connection to the provider {self._provider!r} broke.", detail=detail)


def _shown(api: Api, key: str) -> dict[str, str]:
    """A credential as the API wants it shown."""
    return {api.credential: f"Bearer {key}" if api.credential == "authorization" else key}


def _checked(url: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """An address and headers as requests would send them. Raises ValueError where it would not."""
    prepared = requests.Request("GET", url, headers=dict(headers)).prepare()
    return str(prepared.url), dict(prepared.headers)


def _timeout(provider: str, detail: str) -> UpstreamTimeout:
    return UpstreamTimeout(f"The provider {provider!r} did not answer in time.", detail=detail)


def too_large(provider: str, detail: str) -> AnswerTooLarge:
    return AnswerTooLarge(f"The answer of the provider {provider!r} is larger than this gateway takes.", detail=detail)


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
