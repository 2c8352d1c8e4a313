"""Drives load: on each of a fixed number of connections the next request follows the last one's response."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.framing import LAST_CHUNK, Response

NUMBER = "0000000000"  # in a body: replaced by another number in every request
_NUMBERS = 9 * 10**9  # where runs begin: below what has a digit too many
_SILENCE = 30  # seconds without any response after which a run is given up
_DONE = re.compile(rb"\ndata: \[DONE\]\n+" + re.escape(LAST_CHUNK) + rb"\Z")
_LAST = re.compile(re.escape(LAST_CHUNK) + rb"\Z")
_TAIL = 64  # bytes from the end of a response: _DONE is found in so many


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is made again and again: POST with a body, else GET.

    Attributes:
        url: what to call, with its port.
        headers: beside Host and Content-Length.
        body: the text to send; where it holds NUMBER, no two requests are alike.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    def halves(self) -> tuple[bytes, bytes]:
        """The request before its number and after it; all of it and nothing, where it has none."""
        parts = urlsplit(self.url)
        lines = [f"{'POST' if self.body else 'GET'} {parts.path} HTTP/1.1", f"host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"content-length: {len(self.body.encode())}", "", self.body]
        before, _, after = "\r\n".join(lines).encode().partition(NUMBER.encode())
        return before, after

    def requests(self) -> Iterator[bytes]:
        """Endless requests, all of one length."""
        before, after = self.halves()
        for count in itertools.count(time.time_ns() // 1000 % _NUMBERS):  # so that no two runs send the same
            yield before + b"%010d" % count + after if after else before


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of one run, in numbers.

    Attributes:
        calls: that succeeded.
        seconds: from the first request to the last response.
        p50_ms, p99_ms: from request to whole response.
        marked: how many responses held the mark; all if there is none.
        first_p50_ms, first_p99_ms: to the first byte of the body, where that was measured.
        errors: what else happened, and how often.
    """

    calls: int
    seconds: float
    p50_ms: float
    p99_ms: float
    marked: int
    first_p50_ms: float | None = None
    first_p99_ms: float | None = None
    errors: dict[str, int] = field(default_factory=dict)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed; zero of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        seconds: from the first request to the last response.
        latencies: seconds from request to whole response, of each call that succeeded: status 200, and a stream is one
            that ends as it should.
        first_bytes: seconds from request to the first of the response's body, of the same calls.
        sizes: bytes of the request of the same calls.
        marked: how many of those responses held the mark; all if there is none.
        errors: what else happened, and how often. A connection that breaks is not opened again.
        mark, streams, done: as in `drive`.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    marked: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    mark: re.Pattern[bytes] | None = None
    streams: bool = False
    done: bool = True

    def add(self, response: bytearray, first_byte: float, latency: float, size: int) -> None:
        """Count a whole response; both times are seconds since the request, which had so many bytes."""
        if (status := response[9:12]) != b"200":
            self.errors[f"status {status.decode(errors='replace')}"] += 1
        elif self.streams and not (_DONE if self.done else _LAST).search(response[-_TAIL:]):
            self.errors["no stream that ends as it should"] += 1
        else:
            self.first_bytes.append(first_byte)
            self.latencies.append(latency)
            self.sizes.append(size)
            self.marked += not self.mark or self.mark.search(response) is not None

    def figures(self) -> Figures:
        """In numbers."""
        return Figures(
            calls=len(self.latencies),
            seconds=self.seconds,
            p50_ms=percentile(self.latencies, 0.5) * 1000,
            p99_ms=percentile(self.latencies, 0.99) * 1000,
            marked=self.marked,
            first_p50_ms=percentile(self.first_bytes, 0.5) * 1000,
            first_p99_ms=percentile(self.first_bytes, 0.99) * 1000,
            errors=dict(self.errors),
        )


class _Connection:
    """A connection and the call under way on it.

    Attributes:
        sent: when its request was, in `time.perf_counter()`'s seconds.
        begun: when the first of the response's body had come, likewise; zero until then.
        response: what has come of it.
        size: bytes of the request.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=_SILENCE)
        self.sent = 0.0
        self.begun = 0.0
        self.response = Response()
        self.size = 0

    def send(self, request: bytes) -> None:
        self.response = Response()
        self.size = len(request)
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
    done: bool = True,
) -> Outcome:
    """Keep `connections` calls under way for `seconds`, then wait for the last responses.

    Args:
        url: whose host and port to connect to.
        calls: the bytes of one request after the other.
        connections: how many, each open for the whole run.
        seconds: after which no further request is sent.
        mark: what to look for in each response.
        streams: every response must be a stream of events that ends as it should; one that does not is an error.
        done: as it should is with `data: [DONE]`; else with the last chunk alone, as of a server that never sends it.

    Raises:
        OSError: no connection came about.
    """
    parts = urlsplit(url)
    outcome = Outcome(mark=mark, streams=streams, done=done)
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
                    waited, took = connection.begun - connection.sent, now - connection.sent
                    outcome.add(connection.response.data, waited, took, connection.size)
                    if now < started + seconds:
                        connection.send(next(calls))
                        continue
                except OSError as error:
                    outcome.errors[str(error)] += 1
                selector.unregister(connection.socket)
        outcome.seconds = time.perf_counter() - started
    return outcome
