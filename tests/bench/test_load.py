"""The load generator: it counts every call once, and every failure as one."""

from __future__ import annotations

import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bench import wrk
from bench.load import NUMBER, Call, Figures, drive
from tests.fakes.upstream import Received, Upstream, answers, completion, response, sends

STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n"
DONE = b"f\r\n\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def call(upstream: Upstream) -> Call:
    return Call(f"{upstream.base_url}/x", {"a": "b"}, f'{{"n": "{NUMBER}"}}')


def calls(upstream: Upstream) -> Iterator[bytes]:
    return call(upstream).requests()


def test_every_call_is_another_one_and_is_counted_once(upstream: Upstream) -> None:
    outcome = drive(upstream.base_url, calls(upstream), 3, 0.1, re.compile(b"Hello"))
    sent = [request.json["n"] for request in upstream.received]
    assert len(sent) == len(set(sent)) == len(outcome.latencies) == outcome.marked > 3
    assert (outcome.errors, upstream.connections) == ({}, 3)
    assert upstream.received[0].headers["a"] == "b"
    assert set(outcome.sizes) == {len(next(calls(upstream)))}


def test_a_response_in_pieces_is_one_response(upstream: Upstream) -> None:
    def dribble(connection: socket.socket, request: Received) -> bool:
        whole = response(b"x" * 100)
        for piece in (whole[:20], whole[20:-50], whole[-50:]):
            connection.sendall(piece)
        return True

    upstream.script = dribble
    outcome = drive(upstream.base_url, calls(upstream), 1, 0.1)
    assert len(outcome.latencies) == len(upstream.received)
    assert outcome.errors == {}


def test_a_stream_is_one_response_and_the_connection_stays_open(upstream: Upstream) -> None:
    def stream(connection: socket.socket, request: Received) -> bool:
        connection.sendall(STREAM + DONE)
        return True

    upstream.script = stream
    outcome = drive(upstream.base_url, calls(upstream), 2, 0.1, streams=True)
    assert len(outcome.latencies) == len(outcome.first_bytes) == len(upstream.received) > 2
    assert (outcome.errors, upstream.connections) == ({}, 2)


def test_the_time_of_the_first_byte_is_taken_before_the_rest_has_come(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = itertools.count()
    read = threading.Semaphore(0)

    def clock() -> float:
        read.release()
        return float(next(readings))

    def stream(connection: socket.socket, request: Received) -> bool:
        connection.sendall(STREAM)
        for _ in ("started", "sent", "begun"):
            assert read.acquire(timeout=10)
        connection.sendall(DONE)
        return True

    monkeypatch.setattr("bench.load.time", SimpleNamespace(perf_counter=clock, time_ns=time.time_ns))
    upstream.script = stream
    outcome = drive(upstream.base_url, calls(upstream), 1, 0, streams=True)
    assert (outcome.first_bytes, outcome.latencies) == ([1], [2])


@pytest.mark.parametrize(
    "raw",
    [
        STREAM + b"0\r\n\r\n",
        STREAM + DONE.replace(b"[DONE]", b"[NONE]"),
        STREAM + DONE.replace(b"f\r\n\n", b"10\r\n\nx"),
        response(b"data: [DONE]\n\n"),
    ],
)
def test_a_stream_without_its_end_is_an_error(raw: bytes, upstream: Upstream) -> None:
    upstream.script = sends(raw)
    outcome = drive(upstream.base_url, calls(upstream), 1, 0, streams=True)
    assert (outcome.latencies, outcome.first_bytes) == ([], [])
    assert outcome.errors == {"no stream that ends as it should": 1}


def test_a_server_that_never_sends_done_ends_its_streams_with_the_last_chunk(upstream: Upstream) -> None:
    upstream.script = sends(STREAM + b"0\r\n\r\n")
    assert len(drive(upstream.base_url, calls(upstream), 1, 0, streams=True, done=False).latencies) == 1


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answers(completion("no"), 503), "status 503"),
        (sends(STREAM + DONE[:-1]), "connection closed before the response was whole"),
        (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), "connection closed before the response was whole"),
        (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ntoo long"), "response longer than its content-length"),
    ],
)
def test_a_failure_is_an_error_and_no_call(script: Any, error: str, upstream: Upstream) -> None:
    upstream.script = script
    outcome = drive(upstream.base_url, calls(upstream), 2, 0.05)
    assert outcome.latencies == []
    assert set(outcome.errors) == {error}
    assert outcome.errors.total() == len(upstream.received)


def by_ourselves(made: Call, connections: int, seconds: float, mark: str = "") -> Figures:
    pattern = re.compile(mark.encode()) if mark else None
    return drive(made.url, made.requests(), connections, seconds, pattern).figures()


@pytest.mark.parametrize("load", [by_ourselves, *([wrk.drive] if wrk.PATH else [])])
def test_both_loads_send_every_call_once_and_wait_for_the_last_answers(load: Any, upstream: Upstream) -> None:
    found = load(call(upstream), 3, 0.3)
    sent = [request.json["n"] for request in upstream.received]
    assert len(sent) == len(set(sent)) == found.calls == found.marked > 3
    assert (found.errors, found.p50_ms > 0, 0.2 < found.seconds < 2) == ({}, True, True)
    assert load(call(upstream), 1, 0.1, "x-gateway-cache").marked == 0


@pytest.mark.parametrize("load", [by_ourselves, *([wrk.drive] if wrk.PATH else [])])
def test_both_loads_count_what_is_refused(load: Any, upstream: Upstream) -> None:
    upstream.script = answers(completion("no"), 503)
    found = load(call(upstream), 2, 0.2)
    assert found.calls == 0
    assert sum(found.errors.values()) == len(upstream.received)
