"""The plain way to a provider: requests' own adapter, with urllib3 and http.client behind it."""

from __future__ import annotations

from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter

from gateway.providers.body import Body, Chunks
from gateway.providers.connection import KeptHTTP, KeptHTTPS, Response


class PlainAdapter(HTTPAdapter):
    """Its responses' `raw` is a Body.

    Args:
        most_kept: connections to one provider that are kept; more calls at once open connections and close them.
    """

    def __init__(self, most_kept: int) -> None:
        super().__init__(pool_connections=4, pool_maxsize=most_kept)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = KeptHTTPS if pool.scheme == "https" else KeptHTTP
        return pool

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        response.raw = PlainBody(response.raw)
        return response


class PlainBody(Body):
    """The body of urllib3's `raw`.

    http.client's own reading cannot go on after a time-out, hands on what it has only once it has as much as it was
    asked for, and takes several calls for each chunk.
    """

    def __init__(self, raw: Any) -> None:
        response = cast(Response, raw._original_response)
        super().__init__(response.reader)
        self._raw = raw
        self._response = response
        self.reader.stopped = True  # what follows the headers in the buffer is taken out of it without a read
        self._chunks = Chunks() if response.chunked else None
        self._left: int | None = response.length
        self.ended = self._left == 0

    def close(self) -> None:
        if self.clean:
            self._response.close()
            self._raw.release_conn()
        else:
            self._raw.close()

    @property
    def _framed(self) -> bool:
        return self._left is not None or self._chunks is not None

    def _early(self) -> bytes:
        return b"" if self.ended else self._content(memoryview(self._response.fp.peek()))

    def _content(self, data: memoryview) -> bytes:
        if self._chunks:
            content = self._chunks.feed(bytes(data))
            self.ended, self.clean = self._chunks.ended, self._chunks.ended and not self._chunks.rest
            return content
        if self._left is None:
            return bytes(data)
        content = bytes(data[: self._left])
        self._left -= len(content)
        self.ended = not self._left
        self.clean = self.ended and len(content) == len(data)
        return content
