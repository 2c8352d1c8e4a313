"""Drives load: on each of a fixed number of connections the next request follows the last one's response."""

from __future__ import annotations

import contextlib
import itertools
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.framing import LAST_CHUNK, Response

NUMBER = "0000000000"  # in a body: replaced by another number in every request
_SILENCE = 30  # seconds without any response after which a run is given up
_DONE = re.compile(rb"\ndata: \[DONE\]\n+" + re.escape(LAST_CHUNK) + rb"\Z")
_TAIL = 64  # bytes from the end of a response: _DONE is found in so many


def requests(url: str, headers: Mapping[str, str] | None = None, body: str = "") -> Iterator[bytes]:
    """Yield endless HTTP requests, all of one length: POST with a body, else GET.

    Args:
        url: what to call, with its port.
        headers: beside Host and Content-Length.
        body: the text to send; where it holds NUMBER, no two requests are alike.
    """
    parts = urlsplit(url)
    lines = [f"{'POST' if body else 'GET'} {parts.path} HTTP/1.1", f"host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += [f"content-length: {len(body.encode())}", "", body]
    before, number, after = "\r\n".join(lines).encode().partition(NUMBER.encode())
    for count in itertools.count(1):
        yield before + b"%010d" % count + after if number else before


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        seconds: from the first request to the last response.
        latencies: seconds from request to whole response, of each call that succeeded: status 200, and a stream is one
            that ends as it should.
        first_bytes: seconds from request to the first of the response's body, of the same calls.
        marked: how many of those responses held the mark; all if there is none.
        errors: what else happened, and how often. A connection that breaks is not opened again.
        mark, streams: as in `drive`.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    marked: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    mark: re.Pattern[bytes] | None = None
    streams: bool = False

    def add(self, response: bytearray, first_byte: float, latency: float) -> None:
        """Count a whole response; both times are seconds since the request."""
        if (status := response[9:12]) != b"200":
            self.errors[f"status {status.decode(errors='replace')}"] += 1
        elif self.streams and not _DONE.search(response[-_TAIL:]):
            self.errors["no stream that ends with data: [DONE]"] += 1
        else:
            self.first_bytes.append(first_byte)
            self.latencies.append(latency)
            self.marked += not self.mark or self.mark.search(response) is not None


class _Connection:
    """A connection and the call under way on it.

    Attributes:
        sent: when its request was, in `time.perf_counter()`'s seconds.
        begun: when the first of the response's body had come, likewise; zero until then.
        response: what has come of it.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=_SILENCE)
        self.sent = 0.0
        self.begun = 0.0
        self.response = Response()

    def send(self, request: bytes) -> None:
        self.response = Response()
        self.begun = 0.0
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what has come; tells whether the response is whole.

        Raises:
            OSError: the connection broke, or what came is longer than its Content-Length says.
        """
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("connection closed before the response was whole")
        whole = self.response.add(data)
        if not self.begun and (whole or self.response.begun):
            self.begun = time.perf_counter()
        return whole


def drive(
    url: str,
    calls: Iterator[bytes],
    connections: int,
    seconds: float,
    mark: re.Pattern[bytes] | None = None,
    streams: bool = False,
) -> Outcome:
    """Keep `connections` calls under way for `seconds`, then wait for the last responses.

    Args:
        url: whose host and port to connect to.
        calls: the bytes of one request after the other.
        connections: how many, each open for the whole run.
        seconds: after which no further request is sent.
        mark: what to look for in each response.
        streams: every response must be a stream of events that ends with `data: [DONE]`; one that does not is an error.

    Raises:
        OSError: no connection came about.
    """
    parts = urlsplit(url)
    outcome = Outcome(mark=mark, streams=streams)
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for _ in range(connections):
            connection = _Connection((parts.hostname or "", parts.port or 80))
            stack.enter_context(connection.socket)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        started = time.perf_counter()
        for key in selector.get_map().values():
            key.data.send(next(calls))
        while selector.get_map():
            ready = selector.select(_SILENCE)
            if not ready:
                outcome.errors[f"no response in {_SILENCE} s"] += len(selector.get_map())
                break
            for key, _ in ready:
                connection = key.data
                try:
                    if not connection.receive():
                        continue
                    now = time.perf_counter()
                    outcome.add(connection.response.data, connection.begun - connection.sent, now - connection.sent)
                    if now < started + seconds:
                        connection.send(next(calls))
                        continue
                except OSError as error:
                    outcome.errors[str(error)] += 1
                selector.unregister(connection.socket)
        outcome.seconds = time.perf_counter() - started
    return outcome
