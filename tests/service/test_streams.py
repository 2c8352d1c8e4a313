"""Streams through the running service: clients that vanish or do not read, providers that are silent, signals."""

from __future__ import annotations

import json
import random
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.conftest import KEY
from tests.fakes.upstream import Received, Upstream
from tests.service.conftest import GOOD, Service

Start = Callable[..., Service]
CHAT = {"messages": [{"role": "user", "content": "Hello"}], "stream": True}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECE = json.dumps({"choices": [{"index": 0, "delta": {"content": "word "}}]}).encode()
END = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).encode()
VANISHING, AT_ONCE = 1000, 50


def event(data: bytes) -> bytes:
    framed = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(framed), framed)


WHOLE_END = event(END) + event(b"[DONE]") + b"0\r\n\r\n"


class Paced:
    """An upstream's script: headers, then a piece every `pause` seconds; it knows how many are under way."""

    def __init__(self, pieces: int, pause: float, before: float = 0) -> None:
        self._pieces, self._pause, self._before = pieces, pause, before
        self.open = 0
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket, request: Received) -> bool:
        self._count(1)
        try:
            connection.settimeout(self._before or None)
            if self._before and self._gone(connection):
                return False
            connection.sendall(HEAD)
            for _ in range(self._pieces):
                connection.sendall(event(PIECE))
                connection.settimeout(self._pause)
                if self._gone(connection):
                    return False
            connection.settimeout(None)
            connection.sendall(WHOLE_END)
            return True
        finally:
            self._count(-1)

    @staticmethod
    def _gone(connection: socket.socket) -> bool:
        """Wait for the other side's end; whether it came in time."""
        try:
            return connection.recv(1, socket.MSG_PEEK) == b""
        except TimeoutError:
            return False

    def _count(self, change: int) -> None:
        with self._lock:
            self.open += change


@pytest.fixture
def behind(start: Start, upstream: Upstream) -> Callable[..., Service]:
    """Starts services whose default model is the upstream's."""

    def begin(worker: str, **variables: str) -> Service:
        return start(worker, OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="openai/gpt-4o-mini", **variables)

    return begin


def ask(service: Service) -> socket.socket:
    """A connection on which a stream was asked for."""
    body = json.dumps(CHAT).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n"
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def rss(service: Service) -> int:
    """Resident memory of all workers, in bytes."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in service.workers())


def answers_within(service: Service, seconds: float) -> bool:
    started = time.monotonic()
    assert requests.get(f"{service.url}/health", timeout=20).ok
    return time.monotonic() - started < seconds


def settled(service: Service) -> list[str | None]:
    """How each request for a stream ended, by its log line."""
    return [line["error_code"] for line in service.lines() if line.get("path") == "/v1/chat/completions"]


def vanish(service: Service, number: int) -> None:
    """Ask, wait a moment, and be gone, every other time with a reset."""
    chance = random.Random(number)
    with ask(service) as connection:
        time.sleep(chance.random() * 0.5)
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.shows("P13", "F16")
def test_a_thousand_clients_that_vanish_are_settled_once_each_and_leave_nothing_behind(
    worker: str, behind: Callable[..., Service], upstream: Upstream, figures: Callable[..., None]
) -> None:
    upstream.script = paced = Paced(20, 0.02)
    service = behind(worker)
    with ThreadPoolExecutor(AT_ONCE) as clients:
        list(clients.map(lambda number: vanish(service, number), range(2 * VANISHING)))
        service.wait_for(lambda: len(settled(service)) == 2 * VANISHING)
        before = rss(service)  # with every thread, buffer and table that such a load needs
        list(clients.map(lambda number: vanish(service, number), range(VANISHING)))
    time.sleep(1)
    assert paced.open == 0
    outcomes = Counter(service.wait_for(lambda: (found := settled(service))[3 * VANISHING - 1 :] and found))
    assert sum(outcomes.values()) == 3 * VANISHING
    assert outcomes.keys() <= {None, "client_left"}
    assert outcomes["client_left"] > VANISHING
    assert rss(service) - before < 10_000_000
    started = time.monotonic()
    assert requests.post(f"{service.url}/v1/chat/completions", json=CHAT, headers=GOOD, timeout=5).ok
    assert time.monotonic() - started < 2
    clients_gone = 3 * VANISHING
    figures(f"0 of {clients_gone} clients of {worker} workers that vanished were settled other than once", clients_gone)


@pytest.mark.shows("P13")
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
def test_a_client_that_leaves_a_silent_provider_frees_it_within_a_second(
    streamed: bool, worker: str, behind: Callable[..., Service], upstream: Upstream
) -> None:
    upstream.script = paced = Paced(1, 9, before=9)
    service = behind(worker)
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{service.url}/v1/chat/completions", json={**CHAT, "stream": streamed}, headers=GOOD, timeout=0.7
        )
    service.wait_for(lambda: paced.open == 0, 1)
    service.wait_for(lambda: settled(service) == ["client_left"], 1)


def test_a_silent_provider_is_bridged_with_signs_of_life(start: Start, upstream: Upstream) -> None:
    """Before the first event and after it, on both kinds of worker at once: it takes 16 s each time."""
    before, after = Paced(1, 0.01, before=15.5), Paced(1, 15.5)
    upstream.script = lambda connection, request: (before if b"before" in request.body else after)(connection, request)

    def text(service: Service, prompt: str) -> str:
        body = {**CHAT, "messages": [{"role": "user", "content": prompt}]}
        return requests.post(f"{service.url}/v1/chat/completions", json=body, headers=GOOD, timeout=60).text

    variables = {"OPENAI_BASE_URL": upstream.base_url, "MODEL_NAME": "openai/gpt-4o-mini"}
    services = [start(worker, **variables) for worker in ("gevent", "gthread")]
    with ThreadPoolExecutor(4) as clients:
        found = list(clients.map(text, services * 2, ["before", "before", "after", "after"]))
    assert [answer.startswith(": ping\n\ndata: ") for answer in found] == [True, True, False, False]
    assert [answer.count(": ping\n\n") for answer in found] == [1] * 4
    assert all(answer.endswith("data: [DONE]\n\n") and "word " in answer for answer in found)


@pytest.mark.shows("F16")
def test_readers_that_do_not_read_cost_no_memory_and_hold_nobody_up(
    worker: str, behind: Callable[..., Service], upstream: Upstream
) -> None:
    def flood(connection: socket.socket, request: Received) -> bool:
        connection.sendall(HEAD)
        while True:
            connection.sendall(event(PIECE) * 500)

    service = behind(worker, WEB_CONCURRENCY="1")
    before = rss(service)
    upstream.script = flood
    stalled = [ask(service) for _ in range(50)]
    time.sleep(2)
    service.wait_for(lambda: answers_within(service, 0.5), 20)  # once the buffers in between are full
    assert rss(service) - before < 64_000_000
    for connection in stalled:
        connection.close()
    service.wait_for(lambda: len(settled(service)) == 50, 5)


def lines_of(service: Service, seconds_before_stop: float, stop: Callable[[], None]) -> Iterator[str]:
    with requests.post(
        f"{service.url}/v1/chat/completions", json=CHAT, headers=GOOD, timeout=30, stream=True
    ) as answer:
        threading.Timer(seconds_before_stop, stop).start()
        yield from answer.iter_lines(decode_unicode=True)


@pytest.mark.shows("P11", "F3")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=["HUP", "TERM"])
def test_a_stream_goes_on_to_its_end_through_a_signal(
    number: signal.Signals,
    worker: str,
    behind: Callable[..., Service],
    upstream: Upstream,
    figures: Callable[..., None],
) -> None:
    upstream.script = Paced(20, 0.15)
    service = behind(worker)
    found = list(lines_of(service, 0.5, lambda: service.signal(number)))
    assert sum("word " in line for line in found) == 20
    assert [line for line in found if line][-1] == "data: [DONE]"
    figures("0 of 1 streams, alone with the service, were cut by a HUP or a TERM", 1)


def test_a_stop_that_cannot_wait_longer_writes_down_what_it_cuts(
    worker: str, behind: Callable[..., Service], upstream: Upstream
) -> None:
    upstream.script = Paced(100, 0.1)
    service = behind(worker, GRACEFUL_TIMEOUT="1")
    streams = [ask(service) for _ in range(10)]
    time.sleep(1)
    service.signal(signal.SIGTERM)
    service.process.wait(10)
    assert settled(service) == ["cut_off"] * 10
    for connection in streams:
        connection.close()
