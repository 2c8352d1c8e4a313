"""The end of a response is found whatever the pieces that it comes in."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.framing import Response

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LIKE_AN_END = st.sampled_from([b"0", b"0\n\n", b"\n0\n\n", b"\n", b"data: 10\n\n", b"x" * 16])
CHUNKS = st.lists(
    st.one_of(LIKE_AN_END, st.binary(min_size=1, max_size=40).map(lambda data: data.replace(b"\r", b"0")))
)
CUTS = st.lists(st.integers(0, 1000))


def pieces(whole: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut at these places, of which those beyond the end count from the start again."""
    places = sorted({cut % len(whole) for cut in cuts} - {0})
    return [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]


def assert_whole_at_the_end_only(whole: bytes, cuts: list[int]) -> None:
    body = whole.index(b"\r\n\r\n") + 4
    response, come = Response(), 0
    for piece in pieces(whole, cuts):
        come += len(piece)
        assert response.add(piece) == (come == len(whole))
        assert response.begun == (come > body)
    assert response.data == whole


@given(CHUNKS, CUTS)
@example([], [len(CHUNKED)])
@example([b"0", b"x" * 16], list(range(1000)))
def test_a_chunked_response_ends_with_its_last_chunk(chunks: list[bytes], cuts: list[int]) -> None:
    framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    assert_whole_at_the_end_only(b"".join([CHUNKED, *framed, b"0\r\n\r\n"]), cuts)


@given(st.binary(max_size=100), CUTS)
@example(b"\r\n0\r\n\r\nx", list(range(1000)))
def test_a_response_of_known_length_ends_there(body: bytes, cuts: list[int]) -> None:
    assert_whole_at_the_end_only(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body), cuts)


def test_a_response_with_neither_has_no_body() -> None:
    assert_whole_at_the_end_only(b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", [3])


def test_a_response_longer_than_announced_is_refused() -> None:
    with pytest.raises(ConnectionError, match="longer"):
        Response().add(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nno")
