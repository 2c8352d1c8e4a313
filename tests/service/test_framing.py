"""What is no sound HTTP is refused in our own words, closes its connection, and never costs a worker."""

from __future__ import annotations

import random
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import KEY
from tests.service.conftest import Service

HEAD = f"POST /inference HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nContent-Type: application/json\r\n"
BODY = '{"prompt": "x", "user_id": "u"}'
LENGTH = f"Content-Length: {len(BODY)}\r\n"
CHUNKS = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"


def post(*headers: str, body: str = BODY) -> str:
    return HEAD + "".join(f"{header}\r\n" for header in headers) + "\r\n" + body


def get(line: str = "GET /health HTTP/1.1", *headers: str, host: str = "Host: x") -> str:
    return "\r\n".join([line, *([host] if host else []), *headers]) + "\r\n\r\n"


REFUSED = {
    "length and transfer-encoding": (400, post(LENGTH.strip(), "Transfer-Encoding: chunked", body=CHUNKS)),
    "two equal lengths": (400, post(LENGTH.strip(), LENGTH.strip())),
    "two lengths": (400, post(LENGTH.strip(), "Content-Length: 3")),
    **{f"length {value}": (400, post(f"Content-Length: {value}")) for value in ("13, 13", "+13", "-1", "1_3", "\xb2", "")},
    **{
        f"transfer-encoding {value}": (400, post(f"Transfer-Encoding: {value}", body=CHUNKS))
        for value in ("chunked, identity", "chunked, gzip", "gzip, chunked, chunked", "identity", "\x0bchunked")
    },
    "space after transfer-encoding": (400, post("Transfer-Encoding : chunked", body=CHUNKS)),
    "chunked in HTTP/1.0": (400, post("Transfer-Encoding: chunked", body=CHUNKS).replace("HTTP/1.1", "HTTP/1.0", 1)),
    "no transfer coding": (501, post("Transfer-Encoding: ", body=CHUNKS)),
    "unknown transfer coding": (501, post("Transfer-Encoding: xchunked", body=CHUNKS)),
    "chunk size zz": (400, post("Transfer-Encoding: chunked", body=f"zz\r\n{BODY}\r\n0\r\n\r\n")),
    "chunk size with a sign": (400, post("Transfer-Encoding: chunked", body=f"+1f\r\n{BODY}\r\n0\r\n\r\n")),
    "bare line feeds": (400, "GET /health HTTP/1.1\nHost: x\n\n\r\n\r\n"),
    "folded header": (400, get("GET /health HTTP/1.1", "X-A: a\r\n b")),
    "NUL in a value": (400, get("GET /health HTTP/1.1", "X-A: a\0b")),
    "space in a name": (400, get("GET /health HTTP/1.1", "X A: a")),
    "110 headers": (431, get("GET /health HTTP/1.1", *(f"X-{number}: a" for number in range(110)))),
    "a header of 9 kB": (431, get("GET /health HTTP/1.1", f"X-A: {'a' * 9000}")),
    "a path of 5 kB": (414, get(f"GET /{'a' * 5000} HTTP/1.1")),
    "two hosts": (400, get("GET /health HTTP/1.1", "Host: y")),
    "no host": (400, get(host="")),
    **{
        name: (400, get("GET /health HTTP/1.1", f"{name}: /inference"))
        for name in ("SCRIPT_NAME", "PATH_INFO", "X_Forwarded_For", "Script_Name")
    },
    "lower-case method": (400, get("get /health HTTP/1.1")),
    "HTTP/2 by preface": (400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\0" * 9),
    "HTTP/0.9": (400, "GET /health\r\n\r\n"),
    "an expectation": (417, get("GET /health HTTP/1.1", "Expect: tea")),
    "TLS": (400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\r\n\r\n" * 100),
}  # fmt: skip
ROUTED = {
    "no method for CONNECT": (404, get("CONNECT x:443 HTTP/1.1")),
    "TRACE": (405, get("TRACE /health HTTP/1.1")),
    "two slashes": (401, get("POST //inference HTTP/1.1", "Content-Length: 0")),
    "dots": (404, get("GET /x/../inference HTTP/1.1")),
    "an escaped letter": (401, get("POST /%69nference HTTP/1.1", "Content-Length: 0")),
    "an absolute URI": (401, get("POST http://y/inference HTTP/1.1", "Content-Length: 0")),
    "a host with a path": (401, get("POST /inference HTTP/1.1", "Content-Length: 0", host="Host: x/health?a=")),
    "HTTP/1.0 without a host": (200, get("GET /health HTTP/1.0", host="")),
}


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all rows, whose workers must be the same at the end."""
    service = Service(tmp_path_factory.mktemp("framing"), request.param, {})
    try:
        service.wait_until_ready()
        workers = service.workers()
        yield service
        assert service.workers() == workers
    finally:
        service.stop()


@pytest.mark.parametrize("row", REFUSED)
def test_broken_framing_is_refused_as_json_and_the_connection_closed(row: str, service: Service) -> None:
    status, sent = REFUSED[row]
    answer = service.raw_answer(sent.encode("latin-1"))
    assert answer.status == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers.get("server", "gunicorn") == "gunicorn", "no version"
    logged = service.wait_for(
        lambda: [line for line in service.lines() if line.get("request_id") == answer.headers["x-request-id"]]
    )
    assert [(line["status"], line["error_code"]) for line in logged] == [(status, error["code"])]


@pytest.mark.parametrize("row", ROUTED)
def test_odd_spellings_reach_what_the_plain_one_would_and_no_more(row: str, service: Service) -> None:
    status, sent = ROUTED[row]
    assert service.raw_answer(sent.encode("latin-1")).status == status


def test_a_broken_chunk_is_told_as_broken_json(service: Service) -> None:
    assert service.raw_answer(REFUSED["chunk size zz"][1].encode()).json()["error"]["code"] == "invalid_json"


def test_a_megabyte_of_noise_is_refused_or_hung_up_on(service: Service) -> None:
    noise = random.Random(1).randbytes(1_000_000)
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        try:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        except OSError:
            answer = b""
    assert answer == b"" or answer.split()[1] in (b"400", b"414", b"431")


def test_a_body_that_stops_is_given_up_within_ten_seconds(service: Service) -> None:
    sent = post(f"Content-Length: {len(BODY)}", body=BODY[:-5]).encode()
    chunked = post("Transfer-Encoding: chunked", body=f"{len(BODY):x}\r\n{BODY[:-5]}").encode()
    answers: list[tuple[int, float]] = []

    def ask(data: bytes) -> None:
        started = time.monotonic()
        answers.append((service.raw_answer(data, timeout=20).status, time.monotonic() - started))

    def drip() -> None:
        """Send a byte twice a second; how long that is borne."""
        started = time.monotonic()
        with (
            socket.create_connection(("127.0.0.1", service.port)) as connection,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(post("Content-Length: 1000000", body="{").encode())
            while time.monotonic() < started + 20 and not selector.select(0.5):
                connection.sendall(b" ")
            answers.append((int(connection.recv(12).split()[1]), time.monotonic() - started))

    threads = [threading.Thread(target=ask, args=(data,)) for data in (sent, chunked)]
    threads += [threading.Thread(target=drip)] if service.worker == "gevent" else []  # threads find out afterwards
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [408] * len(threads)
    assert max(seconds for _, seconds in answers) < 12


def test_a_body_that_only_pauses_is_read(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(post(f"Content-Length: {len(BODY)}", body=BODY[:-5]).encode())
        time.sleep(1)
        connection.sendall(BODY[-5:].encode())
        assert connection.recv(100).split()[1] == b"200"


def test_what_follows_a_refused_request_on_its_connection_is_not_read(service: Service) -> None:
    smuggled = post(LENGTH.strip(), "Transfer-Encoding: chunked", body=CHUNKS) + get()
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(smuggled.encode())
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    assert (received.count(b"HTTP/1.1 4"), received.count(b"HTTP/1.1 2")) == (1, 0)
