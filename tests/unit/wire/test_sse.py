"""Events are the same however their bytes come."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import sse

STREAM = 'data: {"text":"héllo 🎉"}\n\n: comment\n\nevent: x\ndata: a\ndata: b\n\ndata: [DONE]\n\n'.encode()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def fed(parts: list[bytes]) -> bytes:
    framer = sse.Framer()
    return b"".join(framer.feed(part) for part in parts)


@given(st.lists(st.integers(0, 10_000), max_size=12), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_cutting_of_the_bytes_and_any_line_end_give_the_same_events(cuts: list[int], line_end: bytes) -> None:
    assert fed(pieces(STREAM.replace(b"\n", line_end), cuts)) == STREAM


@given(st.lists(st.sampled_from([b"data: a", b"\n", b"\r", b"\r\n", b"\n\n", b""]), max_size=12))
def test_line_ends_of_any_mixture_cut_anywhere_give_the_same_events(parts: list[bytes]) -> None:
    whole = b"".join(parts) + b"\n\n"
    one_by_one = [whole[place : place + 1] for place in range(len(whole))]
    assert list(sse.payloads(fed(one_by_one))) == list(sse.payloads(fed([whole])))


def test_silence_within_a_line_end_splits_no_event() -> None:
    assert fed([b"event: a\r", b"", b"\ndata: 2\r\n\r\n"]) == b"event: a\ndata: 2\n\n"


def test_only_whole_events_come_out() -> None:
    framer = sse.Framer()
    assert framer.feed(b"data: 1\n\ndata: 2\n") == b"data: 1\n\n"
    assert framer.feed(b"data: 3\n") == b""
    assert framer.feed(b"\n") == b"data: 2\ndata: 3\n\n"


def test_an_event_without_an_end_is_refused() -> None:
    framer = sse.Framer()
    with pytest.raises(ValueError, match="more than"):
        for _ in range(sse.LARGEST_EVENT // 1_000_000 + 1):
            framer.feed(b"x" * 1_000_000)


def test_the_data_of_events_is_told_from_comments_and_names() -> None:
    assert list(sse.payloads(STREAM)) == ['{"text":"héllo 🎉"}'.encode(), b"a\nb", b"[DONE]"]
    assert list(sse.payloads(b"data:no space\n\ndata:  two\n\n")) == [b"no space", b" two"]


def test_a_byte_order_mark_before_the_first_event_is_no_part_of_it() -> None:
    assert fed([b"\xef", b"\xbb\xbfdata: a\n\n", b"data: b\n\n"]) == b"data: a\n\ndata: b\n\n"
