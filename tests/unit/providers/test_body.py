"""A body comes out the same however its bytes and its chunks are cut."""

from __future__ import annotations

import itertools
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamError, UpstreamTimeout
from gateway.providers.body import Chunks
from tests.fakes.upstream import Received, Upstream, answers, sending, sends
from tests.unit.providers.calls import HEAD, PATH, transport, within

CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def framed(contents: list[bytes], extension: bytes = b"", trailers: bytes = b"") -> bytes:
    chunks = [b"%x%b\r\n%b\r\n" % (len(content), extension, content) for content in contents]
    return b"".join(chunks) + b"0\r\n" + trailers + b"\r\n"


@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=8),
    st.lists(st.integers(0, 300), max_size=10),
    st.sampled_from([b"", b";a=b", b" ; x"]),
    st.sampled_from([b"", b"a: b\r\n", b"a: b\r\nc: d\r\n"]),
)
def test_any_cutting_of_the_bytes_gives_the_same_content(
    contents: list[bytes], cuts: list[int], extension: bytes, trailers: bytes
) -> None:
    raw = framed(contents, extension, trailers)
    places = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    chunks = Chunks()
    parts = [chunks.feed(raw[start:end]) for start, end in itertools.pairwise(places)]
    assert (b"".join(parts), chunks.ended, chunks.rest) == (b"".join(contents), True, b"")


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=4), st.integers(1, 100))
def test_a_body_that_is_cut_has_not_ended(contents: list[bytes], missing: int) -> None:
    raw = framed(contents)
    chunks = Chunks()
    chunks.feed(raw[: max(0, len(raw) - missing)])
    assert not chunks.ended


@pytest.mark.parametrize(
    "raw",
    [b"zz\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1_0\r\n", b"\r\n", b"1\r\nab\r\n", b"f" * 17 + b"\r\n",
     b"1" * 5000, b"1;" + b"x" * 5000, b"0\r\n" + b"x" * 5000],
)  # fmt: skip
def test_wrong_framing_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):
        Chunks().feed(raw)


def test_what_comes_after_the_end_is_told_apart() -> None:
    chunks = Chunks()
    assert chunks.feed(framed([b"a"]) + b"HTTP/1.1 200 OK") == b"a"
    assert (chunks.ended, chunks.rest) == (True, b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_each_framing_gives_the_content_as_it_comes(framing: str, upstream: Upstream) -> None:
    heads = {"chunked": CHUNKED, "length": HEAD + b"content-length: 4\r\n\r\n", "close": HEAD + b"\r\n"}
    pieces = [b"2\r\nab\r\n", b"2\r\ncd\r\n", b"0\r\n\r\n"] if framing == "chunked" else [b"ab", b"cd"]
    upstream.script = sending([heads[framing], *pieces], 0.1, stay=False)
    assert list(transport(upstream.base_url).send(PATH, b"{}", {}, within()).arrivals()) == [b"ab", b"cd"]


def test_silence_is_told_again_and_again_until_the_idle_deadline(upstream: Upstream) -> None:
    upstream.script = sending([CHUNKED + b"1\r\na\r\n", b""], 3, stay=False)
    reply = transport(upstream.base_url).send(PATH, b"{}", {}, within(first_byte=2, idle=0.75))
    came: list[bytes] = []
    with pytest.raises(UpstreamTimeout):
        came.extend(reply.arrivals(0.2))
    assert came == [b"a", b"", b"", b""]


@pytest.mark.parametrize("raw", [CHUNKED + framed([b"{}"]), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"])
def test_bytes_after_the_body_end_the_connection(raw: bytes, upstream: Upstream) -> None:
    sender = transport(upstream.base_url)
    upstream.script = lambda connection, request: not connection.sendall(raw + b"HTTP/1.1 200 OK\r\n")
    assert sender.send(PATH, b"{}", {}, within()).read() == b"{}"
    upstream.script = answers(b"mine")
    assert sender.send(PATH, b"{}", {}, within()).read() == b"mine"
    assert upstream.connections == 2


def test_a_body_left_unread_ends_the_connection(upstream: Upstream) -> None:
    sender = transport(upstream.base_url)
    reply = sender.send(PATH, b"{}", {}, within())
    reply.close()
    sender.send(PATH, b"{}", {}, within()).read()
    assert upstream.connections == 2


def test_the_end_of_a_body_may_come_a_little_later_and_the_connection_is_kept(upstream: Upstream) -> None:
    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(CHUNKED + b"2\r\n{}\r\n")
        time.sleep(0.05)
        connection.sendall(b"0\r\n\r\n")
        return True

    upstream.script = script
    sender = transport(upstream.base_url)
    for _ in range(2):
        reply = sender.send(PATH, b"{}", {}, within())
        arrivals = reply.arrivals()
        assert next(arrivals) == b"{}"
        reply.finish(1)
        arrivals.close()
    assert upstream.connections == 1


def test_a_body_shorter_than_its_length_is_an_upstream_error(upstream: Upstream) -> None:
    upstream.script = sends(HEAD + b"content-length: 9\r\n\r\nab")
    with pytest.raises(UpstreamError):
        transport(upstream.base_url).send(PATH, b"{}", {}, within()).read()


@pytest.mark.parametrize("status", [b"102 Processing", b"103 Early Hints"])
def test_an_interim_answer_is_passed_over_and_never_taken_for_the_answer(status: bytes, upstream: Upstream) -> None:
    interim = b"HTTP/1.1 " + status + b"\r\nlink: x\r\n\r\n"

    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(interim * 2)
        time.sleep(0.1)
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(request.body) + request.body)
        return True

    upstream.script = script
    sender = transport(upstream.base_url)
    for body in (b"alice", b"bob"):
        assert sender.send(PATH, body, {}, within()).read() == body


@pytest.mark.parametrize("head", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"])
def test_a_connection_on_which_no_body_came_is_not_used_again(head: bytes, upstream: Upstream) -> None:
    sender = transport(upstream.base_url)
    upstream.script = lambda connection, request: connection.sendall(head) is None
    for _ in range(2):
        assert sender.send(PATH, b"{}", {}, within()).read() == b""
    assert upstream.connections == 2
