"""Nobody waits for what a stranger does without end: a provider, a client with a key, a client without one."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest
import requests

from tests.conftest import KEY
from tests.fakes.upstream import Upstream
from tests.service.conftest import Service

Start = Callable[..., Service]


def slowest_health(service: Service, seconds: float) -> float:
    """The longest that GET /health takes while something else goes on."""
    slowest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.monotonic()
        assert requests.get(f"{service.url}/health", timeout=20).ok
        slowest = max(slowest, time.monotonic() - started)
    return slowest


def test_a_provider_that_never_stops_sending_holds_nobody_up(worker: str, start: Start, upstream: Upstream) -> None:
    def endless(connection: socket.socket, request: object) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"1\r\na\r\n" * 10_000)

    upstream.script = endless  # type: ignore[assignment]
    yaml = f"providers: {{p: {{kind: openai, base_url: '{upstream.base_url}', timeouts: {{total: 3}}}}}}"
    service = start(worker, yaml, MODEL_NAME="p/m", WEB_CONCURRENCY="1")
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(service.ask().status_code))
    asking.start()
    assert slowest_health(service, 2) < 1
    asking.join()
    assert statuses[0] in (502, 504)


def test_a_client_that_sends_its_body_byte_by_byte_holds_nobody_up(worker: str, start: Start) -> None:
    service = start(worker, WEB_CONCURRENCY="1")
    head = f"POST /inference HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n"
    body = b"1\r\n \r\n" * 1_000_000 + b"0\r\n\r\n"
    answered: list[int] = []
    sending = threading.Thread(
        target=lambda: answered.append(service.raw(f"{head}transfer-encoding: chunked\r\n\r\n".encode() + body)[0])
    )
    sending.start()
    assert slowest_health(service, 1.5) < 0.8
    sending.join()
    assert answered == [400]


CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
FLOODS = {
    "an unread body in chunks": (b"POST /inference HTTP/1.1\r\nhost: x\r\n" + CHUNKED, b"1\r\na\r\n"),
    "an unread body of a health check": (b"GET /health HTTP/1.1\r\nhost: x\r\n" + CHUNKED, b"1\r\na\r\n"),
    "an unread body of a huge length": (
        b"POST /nope HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n",
        b"a" * 6,
    ),
    "requests one behind the other": (b"", b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_client_without_a_key_that_never_stops_sending_holds_nobody_up(flood: str, worker: str, start: Start) -> None:
    service = start(worker, WEB_CONCURRENCY="1")
    until = time.monotonic() + 3

    def send() -> None:
        head, again = FLOODS[flood]
        while time.monotonic() < until:
            with socket.create_connection(("127.0.0.1", service.port)) as connection, contextlib.suppress(OSError):
                threading.Thread(target=drain, args=(connection,), daemon=True).start()
                connection.sendall(head)
                while time.monotonic() < until:
                    connection.sendall(again * 2000)

    def drain(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while connection.recv(65_536):
                pass

    sending = threading.Thread(target=send)
    sending.start()
    assert slowest_health(service, 2) < 1
    sending.join()


def test_a_client_may_send_all_of_a_body_that_is_not_read_and_gets_its_answer(worker: str, start: Start) -> None:
    service = start(worker)
    body = b"x" * 30_000_000
    head = f"POST /inference HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(head.encode() + body)  # fails if the service closes at once
            assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_a_small_unread_body_keeps_the_connection(worker: str, start: Start) -> None:
    service = start(worker, WEB_CONCURRENCY="1")
    with requests.Session() as session:
        for _ in range(3):
            assert session.post(f"{service.url}/inference", data=b"x" * 1000, timeout=5).status_code == 401
        pool = next(iter(session.adapters["http://"].poolmanager.pools._container.values()))  # type: ignore[attr-defined]
        assert pool.num_connections == 1
