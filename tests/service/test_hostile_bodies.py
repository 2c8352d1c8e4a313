"""Rows 14 to 25 of the hostile inputs, by raw sockets, with a Content-Length and in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import KEY
from tests.service.conftest import Service
from tests.unit.api.test_strict_json import REFUSED

LIMIT = 2_000_000


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory: Path = tmp_path_factory.mktemp("service")
    running = Service(directory, request.param, {"MAX_BODY_BYTES": str(LIMIT)})
    try:
        pids = running.wait_until_ready().workers()
        yield running
        assert running.workers() == pids, "a worker died of a hostile body"
    finally:
        status = running.stop()
    assert status == 0
    assert [line for line in running.lines() if line["level"] in ("ERROR", "CRITICAL")] == []
    assert running.errors.read_text() == ""


def with_length(body: bytes, headers: str = "content-type: application/json\r\n") -> bytes:
    head = f"POST /inference HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def in_chunks(body: bytes, headers: str = "content-type: application/json\r\n", size: int = 40_000) -> bytes:
    head = f"POST /inference HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\n{headers}transfer-encoding: chunked\r\n\r\n"
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return head.encode() + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


FRAMINGS: dict[str, Callable[..., bytes]] = {"length": with_length, "chunks": in_chunks}


@pytest.fixture(params=FRAMINGS)
def framed(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    return FRAMINGS[request.param]


@pytest.mark.parametrize(("body", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_hostile_body_gets_400_and_its_code(
    body: bytes, code: str, framed: Callable[..., bytes], service: Service
) -> None:
    status, answer = service.raw(framed(body))
    assert (status, answer["error"]["code"]) == (400, code)


def sized(size: int) -> bytes:
    return b'{"user_id": "u", "prompt": "' + b"x " * ((size - 30) // 2) + b'"}'


def test_a_body_of_the_limit_is_taken_and_one_byte_more_is_not(framed: Callable[..., bytes], service: Service) -> None:
    assert len(sized(LIMIT)) == LIMIT
    assert service.raw(framed(sized(LIMIT)))[0] == 200
    for larger in (sized(LIMIT) + b" ", sized(LIMIT) + b" " * 100_000):
        status, answer = service.raw(framed(larger))
        assert (status, answer["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "deflate"])
def test_a_compressed_body_is_refused_unread(encoding: str, framed: Callable[..., bytes], service: Service) -> None:
    headers = f"content-type: application/json\r\ncontent-encoding: {encoding}\r\n"
    status, answer = service.raw(framed(b"\x1f\x8b" + b"\x00" * 1000, headers))
    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data; boundary=" + "-" * 7000, "application/x-www-form-urlencoded"]
)
def test_another_media_type_is_refused_unread(
    content_type: str, framed: Callable[..., bytes], service: Service
) -> None:
    body = b"--x\r\ncontent-disposition: form-data; name=a\r\n\r\n1\r\n" * 10_000
    status, answer = service.raw(framed(body, f"content-type: {content_type}\r\n"))
    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("size", ["zz", "-1", "0x10", "1_0"])
def test_a_broken_chunk_size_gets_400(size: str, service: Service) -> None:
    raw = in_chunks(b"").replace(b"0\r\n\r\n", f"{size}\r\nabc\r\n".encode())
    status, answer = service.raw(raw)
    assert (status, answer["error"]["code"]) == (400, "invalid_json")


def test_it_still_answers_after_all_that(service: Service) -> None:
    status, answer = service.raw(in_chunks(b'{"prompt": "still here", "user_id": "u"}', size=3))
    assert (status, answer["response"]) == (200, "still here")
