"""The proxy itself: it does what it is told to connections, and to no others."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.fakes.chaos_proxy import ChaosProcess, ChaosProxy
from tests.fakes.upstream import Upstream, response

ASK = b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
WHOLE = response(b"{}")


@pytest.fixture(params=[ChaosProxy, ChaosProcess])
def proxy(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[ChaosProxy | ChaosProcess]:
    upstream.script = lambda connection, request: bool(connection.sendall(WHOLE))
    with request.param(upstream.port, seed=1) as proxy:
        yield proxy


def said(proxy: ChaosProxy | ChaosProcess, patience: float = 5) -> bytes:
    """What one connection brings in so many seconds. Raises what a client would see."""
    found = b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=patience) as connection:
        connection.sendall(ASK)
        with contextlib.suppress(TimeoutError):
            while data := connection.recv(1000):
                found += data
    return found


def test_it_hands_on_what_is_said_late_or_byte_by_byte(proxy: ChaosProxy | ChaosProcess) -> None:
    assert said(proxy) == WHOLE
    for toxics in ({"delay": 0.1}, {"drip": len(WHOLE) / 0.2}):
        proxy.set(**toxics)
        began = time.monotonic()
        assert said(proxy) == WHOLE
        assert 0.15 < time.monotonic() - began < 2


def test_it_cuts_an_answer_where_it_is_told_to(proxy: ChaosProxy | ChaosProcess) -> None:
    proxy.set(cut=20)
    assert said(proxy) == WHOLE[:20]
    proxy.set(cut=0, reset=True)
    with pytest.raises(ConnectionResetError):
        said(proxy)


def test_what_is_mute_says_nothing_until_it_may_and_ends_nothing(proxy: ChaosProxy | ChaosProcess) -> None:
    proxy.set(mute=True)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.2) as connection:
        connection.sendall(ASK)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.set()
        connection.settimeout(5)
        assert connection.recv(1000) == WHOLE


def test_what_is_down_refuses_and_comes_back_at_the_same_place(proxy: ChaosProxy | ChaosProcess) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as connection:
        proxy.set(down=True)
        assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        said(proxy)
    proxy.set()
    assert said(proxy) == WHOLE


def test_a_share_of_the_connections_suffers_the_same_ones_of_each_seed(proxy: ChaosProxy | ChaosProcess) -> None:
    proxy.set(cut=0, share=0.5)
    assert [bool(said(proxy)) for _ in range(8)] == [False, True, True, False, False, False, True, True]
