"""Silence, a client that leaves, and what becomes of the connection: a vendor's stream from its two ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import ClientLeft, UpstreamTimeout
from gateway.model import Usage
from gateway.providers import stream as stream_module
from tests.fakes.upstream import Received, Upstream, sending
from tests.unit.providers.calls import failure_after
from tests.unit.providers.streams import (
    ASKED,
    CALL,
    DONE,
    END,
    HEAD,
    HELLO,
    REQUEST,
    USAGE,
    WHOLE,
    chunked,
    event,
    provider,
    stream,
)


def test_a_provider_that_does_not_read_the_request_meets_the_deadline_and_the_clients_leaving(
    upstream: Upstream,
) -> None:
    upstream.pause_before_reading = 6
    body = json.dumps({**ASKED, "model": "m", "stream": True, "x": "x" * 20_000_000}).encode()
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        stream(upstream, replace(REQUEST, body=body), first_byte=0.5)
    here, there = socket.socketpair()
    threading.Timer(0.3, there.close).start()
    with here, pytest.raises(ClientLeft):
        provider(upstream).stream(replace(REQUEST, body=body), "m", CALL._replace(client=here))
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("cut", [lambda: b"", lambda: chunked(b"data: {}\n\n")], ids=["first byte", "idle"])
def test_silence_has_a_deadline_before_and_after_the_first_byte(cut: Any, upstream: Upstream) -> None:
    upstream.script = sending([HEAD + cut(), b""], pause=2)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        list(stream(upstream, first_byte=0.4, idle=0.4).blocks())
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("whole", [b"", HEAD, HEAD + chunked(HELLO[0])], ids=["headers", "first event", "later event"])
def test_bytes_that_drip_and_make_no_event_are_as_good_as_silence(whole: bytes, upstream: Upstream) -> None:
    rest = (HEAD + chunked(*HELLO))[len(whole) :] if len(whole) <= len(HEAD) else chunked(HELLO[1])
    upstream.script = sending([whole, *(rest[place : place + 1] for place in range(len(rest)))], pause=0.05)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        list(stream(upstream, first_byte=0.5, idle=0.5).blocks())
    assert time.monotonic() - started < 1.5


def test_every_event_starts_the_time_for_the_next_one_anew(upstream: Upstream) -> None:
    halves = [chunked(part) for part in HELLO * 3 for part in (part[:9], part[9:])]
    upstream.script = sending([HEAD, *halves, chunked(DONE) + END], pause=0.15)
    blocks = list(stream(upstream, first_byte=0.7, idle=0.7).blocks())
    assert b"".join(blocks) == b"".join(HELLO * 3)
    assert b"" in blocks, "half an event is a moment to look whether the client waits for a sign of life"


def test_comments_are_no_first_event(upstream: Upstream) -> None:
    upstream.script = sending([HEAD, *[chunked(b": ping\n\n")] * 20], pause=0.1)
    error, seconds = failure_after(lambda: stream(upstream, first_byte=0.5, idle=5))
    assert isinstance(error, UpstreamTimeout)
    assert 0.4 < seconds < 1.5


def test_whoever_takes_events_slowly_does_not_make_the_provider_silent(upstream: Upstream) -> None:
    upstream.script = sending([HEAD, *map(chunked, HELLO), chunked(event(usage=USAGE), DONE) + END], pause=0.2)
    for _ in stream(upstream, idle=0.4).blocks():
        time.sleep(0.6)


def test_a_stream_that_is_merely_long_says_nothing_against_its_provider(upstream: Upstream) -> None:
    upstream.script = sending([HEAD, *map(chunked, HELLO * 20)], pause=0.1)
    error, _ = failure_after(lambda: list(stream(upstream, total=0.5).blocks()))
    assert isinstance(error, UpstreamTimeout)
    assert error.is_well is None


def test_a_client_that_leaves_a_dripping_provider_is_noticed_within_a_second(upstream: Upstream) -> None:
    upstream.script = sending([HEAD, *[b"1\r\nx\r\n"] * 100], pause=0.05, stay=False)
    here, there = socket.socketpair()
    threading.Timer(0.3, there.close).start()
    started = time.monotonic()
    with here, pytest.raises(ClientLeft):
        provider(upstream).stream(REQUEST, "m", CALL._replace(client=here))
    assert time.monotonic() - started < 1.3


def test_silence_is_told_so_that_the_client_can_be_given_a_sign(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "TICK", 0.2)
    upstream.script = sending([HEAD + chunked(HELLO[0]), chunked(HELLO[1], DONE) + END], pause=0.7)
    assert list(stream(upstream).blocks()) == [HELLO[0], b"", b"", b"", HELLO[1]]


def test_the_connection_is_used_again_after_a_whole_stream(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_LAST_BYTES", 1)
    upstream.script = sending([HEAD + chunked(WHOLE, DONE), END])
    vendor = provider(upstream)
    for _ in range(3):
        assert b"".join(vendor.stream(REQUEST, "m", CALL).blocks()) == WHOLE
    assert upstream.connections == 1


def test_the_connection_is_closed_where_the_client_stops(upstream: Upstream) -> None:
    ended = threading.Event()

    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(HEAD + chunked(*HELLO))
        connection.settimeout(5)
        if connection.recv(1) == b"":
            ended.set()
        return False

    upstream.script = script
    found = stream(upstream)
    next(found.blocks())
    found.leave()
    assert ended.wait(1)
    assert found.completion().text == "Héllo"


def test_where_the_operator_wants_it_the_rest_is_read_after_the_client_has_stopped(upstream: Upstream) -> None:
    upstream.script = sending(
        [HEAD + chunked(HELLO[0]), chunked(HELLO[1]), chunked(event(usage=USAGE), DONE) + END], 0.2
    )
    found = stream(upstream, drain=5)
    next(found.blocks())
    found.leave()
    assert (found.completion().text, found.completion().usage) == ("Héllo", Usage(3, 2))


def test_and_no_longer_than_it_may_take(upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(HELLO[0]), b""], pause=3)
    found = stream(upstream, drain=0.3)
    next(found.blocks())
    started = time.monotonic()
    found.leave()
    assert time.monotonic() - started < 1
    assert found.completion().text == "Hé"


@pytest.mark.parametrize("drain", [0, 0.3])
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("first", [b"", HEAD, HEAD + chunked(HELLO[0])], ids=["no byte", "headers", "an event"])
def test_a_client_that_leaves_is_noticed_while_the_provider_is_silent(
    first: bytes, streamed: bool, drain: float, upstream: Upstream
) -> None:
    upstream.script = sending([first, b""], pause=5, stay=False)
    here, there = socket.socketpair()
    threading.Timer(0.2, there.close).start()
    vendor = provider(upstream, drain=drain)
    send = vendor.stream if streamed else vendor.complete
    started = time.monotonic()
    with here, pytest.raises(ClientLeft):
        found = send(replace(REQUEST, stream=streamed), "m", CALL._replace(client=here))
        list(found.blocks())  # type: ignore[union-attr]
    assert 0.1 + drain < time.monotonic() - started < 1.2 + drain


def test_a_client_that_has_sent_its_next_request_is_still_there(upstream: Upstream) -> None:
    upstream.script = sending([HEAD + chunked(HELLO[0]), chunked(HELLO[1], DONE) + END], pause=0.8)
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b"GET / HTTP/1.1\r\n")
        found = provider(upstream).stream(REQUEST, "m", CALL._replace(client=here))
        assert b"".join(found.blocks()) == b"".join(HELLO)
