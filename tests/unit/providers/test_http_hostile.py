"""The transport against upstreams that cut, lie and never stop."""

from __future__ import annotations

import socket

import pytest

from gateway.errors import AnswerTooLarge, GatewayError, UpstreamError
from gateway.providers import connection as connections
from tests.fakes.upstream import Received, Upstream, response, sends
from tests.unit.providers.calls import HEAD, PATH, failure_after, transport, within


@pytest.mark.parametrize("cut", [*range(0, 60, 6), 70, 80, 90, 100])
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_response_cut_at_any_byte_is_an_upstream_error(cut: int, reset: bool, upstream: Upstream) -> None:
    whole = response(b'{"choices": [' + b" " * 60 + b"]}")
    assert cut < len(whole)
    upstream.script = sends(whole[:cut], then_reset=reset)
    error, _ = failure_after(lambda: transport(upstream.base_url).send(PATH, b"{}", {}, within()).read())
    assert isinstance(error, UpstreamError)
    assert error.status == 502


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        HEAD + b"".join(b"x-%d: 1\r\n" % number for number in range(1000)) + b"\r\n",
        HEAD + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nxx\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n-5\r\nxx\r\n",
        HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\n{}",
        HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx",
    ],
    ids=[
        "no HTTP",
        "no status",
        "1,000 headers",
        "a header of 100 kB",
        "a bad chunk",
        "a negative chunk",
        "two lengths",
        "compressed",
    ],
)
def test_nonsense_is_an_upstream_error(raw: bytes, upstream: Upstream) -> None:
    upstream.script = sends(raw)
    error, _ = failure_after(lambda: transport(upstream.base_url).send(PATH, b"{}", {}, within()).read())
    assert type(error) is UpstreamError


def test_an_endless_answer_is_cut(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(connection: socket.socket, request: Received) -> bool:
        connection.sendall(HEAD + b"\r\n")
        while True:
            connection.sendall(b"x" * 10_000)

    upstream.script = endless
    monkeypatch.setattr(connections, "MAX_REPLY_BYTES", 1_000_000)
    error, _ = failure_after(lambda: transport(upstream.base_url).send(PATH, b"{}", {}, within()).read())
    assert error.detail is not None
    assert "more than 1000000 bytes" in error.detail


@pytest.mark.parametrize("length", ["abc", "", "²", "1e3", "1 0", "-5", "9" * 5000, "2, 2"])
def test_a_content_length_that_is_no_length_is_an_upstream_error(length: str, upstream: Upstream) -> None:
    upstream.script = sends(HEAD + f"content-length: {length}\r\n\r\n{{}}".encode("latin-1"))
    error, _ = failure_after(lambda: transport(upstream.base_url).send(PATH, b"{}", {}, within()).read())
    assert error.status == 502


@pytest.mark.parametrize(
    ("start", "again", "expected"),
    [
        (b"", b"HTTP/1.1 100 C\r\n\r\n", UpstreamError),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n", AnswerTooLarge),
    ],
    ids=["informational answers", "chunks of a byte"],
)
def test_endless_framing_is_cut(
    start: bytes, again: bytes, expected: type[GatewayError], upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(connection: socket.socket, request: Received) -> bool:
        connection.sendall(start)
        while True:
            connection.sendall(again * 1000)

    upstream.script = endless
    monkeypatch.setattr(connections, "MAX_REPLY_BYTES", 200_000)
    error, _ = failure_after(lambda: transport(upstream.base_url).send(PATH, b"{}", {}, within(20)).read())
    assert type(error) is expected
