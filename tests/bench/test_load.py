"""The load generator: it counts every call once, and every failure as one."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from bench.load import NUMBER, drive, requests
from tests.fakes.upstream import Received, Upstream, answers, completion, response, sends


def calls(upstream: Upstream) -> Iterator[bytes]:
    return requests(f"{upstream.base_url}/x", {"a": "b"}, f'{{"n": "{NUMBER}"}}')


def test_every_call_is_another_one_and_is_counted_once(upstream: Upstream) -> None:
    outcome = drive(upstream.base_url, calls(upstream), 3, 0.1, re.compile(b"Hello"))
    sent = [request.json["n"] for request in upstream.received]
    assert len(sent) == len(set(sent)) == len(outcome.latencies) == outcome.marked > 3
    assert (outcome.errors, upstream.connections) == ({}, 3)
    assert upstream.received[0].headers["a"] == "b"


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


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answers(completion("no"), 503), "status 503"),
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
