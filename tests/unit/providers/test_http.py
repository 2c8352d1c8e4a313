"""The transport: deadlines that hold against any upstream, honest pooling, nothing from the environment."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

from gateway.config.secrets import Secret
from gateway.errors import (
    ConnectionBroke,
    ConnectTimeout,
    StaleConnection,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.providers import connection
from tests.fakes.upstream import Upstream, answers, sending, sends
from tests.unit.providers.calls import HEAD, PATH, failure_after, transport, within


def test_a_call_arrives_whole_with_its_headers_and_credential(upstream: Upstream) -> None:
    upstream.script = answers(b"{}", headers={"x-request-id": "up-1"})
    sender = transport(upstream.base_url, api_keys=(Secret("sk-1"),), headers={"X-Team": Secret("search")})
    reply = sender.send(PATH, b'{"a": 1}', {"x-request-id": "call-1"}, within())
    assert (reply.status, reply.headers["x-request-id"], reply.read()) == (200, "up-1", b"{}")
    request = upstream.received[0]
    assert (request.method, request.path, request.body) == ("POST", "/v1/chat/completions", b'{"a": 1}')
    assert {name: value for name, value in request.headers.items() if name != "host"} == {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "llm-gateway",
        "authorization": "Bearer sk-1",
        "x-team": "search",
        "x-request-id": "call-1",
        "content-length": "8",
    }


def test_a_connection_is_used_again(upstream: Upstream) -> None:
    sender = transport(upstream.base_url)
    for _ in range(5):
        sender.send(PATH, b"{}", {}, within()).read()
    assert upstream.connections == 1


def test_a_connection_that_was_closed_meanwhile_is_found_out_before_it_is_used(upstream: Upstream) -> None:
    sender = transport(upstream.base_url)
    sender.send(PATH, b"{}", {}, within()).read()
    upstream.drop_connections()
    time.sleep(0.05)
    assert sender.send(PATH, b"{}", {}, within()).status == 200
    assert upstream.connections == 2


def test_a_connection_made_anew_is_no_reused_one(upstream: Upstream) -> None:
    sender = transport(upstream.base_url)
    sender.send(PATH, b"{}", {}, within()).read()
    upstream.drop_connections()
    time.sleep(0.05)
    upstream.script = sends(b"")
    assert type(failure_after(lambda: sender.send(PATH, b"{}", {}, within()))[0]) is ConnectionBroke


def test_a_reused_connection_that_ends_without_a_byte_may_be_replayed_and_a_new_one_may_not(upstream: Upstream) -> None:
    sender = transport(upstream.base_url)
    sender.send(PATH, b"{}", {}, within()).read()
    upstream.script = sends(b"")
    assert type(failure_after(lambda: sender.send(PATH, b"{}", {}, within()))[0]) is StaleConnection
    assert type(failure_after(lambda: sender.send(PATH, b"{}", {}, within()))[0]) is ConnectionBroke


def test_a_reused_connection_that_ends_after_a_while_may_have_been_worked_for_and_is_not_replayed(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_AT_ONCE", 0.1)
    sender = transport(upstream.base_url)
    sender.send(PATH, b"{}", {}, within()).read()
    upstream.script = sending([b""], pause=0.2, stay=False)
    error = failure_after(lambda: sender.send(PATH, b"{}", {}, within()))[0]
    assert (type(error), error.may_be_billed) == (ConnectionBroke, True)


@pytest.mark.parametrize(
    ("pieces", "pause"),
    [
        ([], 9),
        ([b"HTTP/1.1 2"], 9),
        ([bytes([byte]) for byte in HEAD], 0.1),
        ([HEAD + b"content-length: 9\r\n\r\n{"], 9),
        ([HEAD + b"content-length: 99\r\n\r\n", *[b"x"] * 99], 0.1),
        ([HEAD + b"transfer-encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 99], 0.1),
    ],
    ids=["silent", "half a status line", "dripping headers", "half a body", "dripping body", "dripping chunks"],
)
def test_the_total_deadline_ends_a_call_wherever_it_stands(
    pieces: list[bytes], pause: float, upstream: Upstream
) -> None:
    upstream.script = sending([*pieces, b""], pause, stay=False)
    sender = transport(upstream.base_url)
    error, seconds = failure_after(lambda: sender.send(PATH, b"{}", {}, within(0.5)).read())
    assert type(error) is UpstreamTimeout
    assert not error.retryable
    assert 0.45 < seconds < 1.5


def test_the_first_byte_has_a_deadline_of_its_own(upstream: Upstream) -> None:
    upstream.script = sending([HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n0\r\n\r\n"], 1, stay=False)
    reply = transport(upstream.base_url).send(PATH, b"{}", {}, within(first_byte=0.3))
    error, seconds = failure_after(reply.read)
    assert type(error) is UpstreamTimeout
    assert seconds < 0.9


def test_silence_between_two_bytes_has_a_deadline_of_its_own(upstream: Upstream) -> None:
    chunk = b"1\r\nx\r\n"
    upstream.script = sending([HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk, chunk, chunk], 0.2, stay=False)
    reply = transport(upstream.base_url).send(PATH, b"{}", {}, within(first_byte=5, idle=0.5))
    received: list[bytes] = []
    with pytest.raises(UpstreamError):
        received.extend(reply.arrivals())  # three chunks 0.2 s apart pass, then the connection ends unfinished
    upstream.script = sending([HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk, chunk], 2, stay=False)
    reply = transport(upstream.base_url).send(PATH, b"{}", {}, within(first_byte=5, idle=0.3))
    error, seconds = failure_after(reply.read)
    assert type(error) is UpstreamTimeout
    assert seconds < 1.5


@pytest.mark.usefixtures("way")
def test_a_refused_connection_is_told_from_a_broken_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    error, _ = failure_after(lambda: transport(f"http://127.0.0.1:{port}/v1").send(PATH, b"{}", {}, within()))
    assert type(error) is UpstreamUnreachable
    assert error.retryable


@pytest.mark.usefixtures("way")
def test_a_connection_that_is_not_accepted_in_time_may_be_retried() -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # fill the listener's queue, so that the next handshake stays unanswered
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        sender = transport(f"http://127.0.0.1:{full.getsockname()[1]}/v1")
        error, seconds = failure_after(lambda: sender.send(PATH, b"{}", {}, within(connect=0.3)))
    assert type(error) is ConnectTimeout
    assert error.retryable
    assert seconds < 2


def test_a_large_request_may_take_longer_to_send_than_to_connect(upstream: Upstream) -> None:
    upstream.pause_before_reading = 1.0
    reply = transport(upstream.base_url).send(PATH, b"x" * 20_000_000, {}, within(10, connect=0.3))
    assert (reply.status, len(upstream.received[0].body)) == (200, 20_000_000)


def test_a_request_that_is_not_read_in_time_is_not_sent_again(upstream: Upstream) -> None:
    upstream.pause_before_reading = 3.0
    sender = transport(upstream.base_url)
    error, seconds = failure_after(lambda: sender.send(PATH, b"x" * 20_000_000, {}, within(0.5)))
    assert type(error) is UpstreamTimeout
    assert not error.retryable
    assert seconds < 2


def test_a_tls_handshake_that_drips_ends_with_the_connect_deadline(upstream: Upstream) -> None:
    upstream.on_connect = lambda connection: [
        (connection.sendall(byte), time.sleep(0.1)) for byte in (b"\x16", b"\x03", b"\x03", b"\x3f", *[b"\x00"] * 50)
    ]
    sender = transport(upstream.base_url.replace("http:", "https:"))
    _, seconds = failure_after(lambda: sender.send(PATH, b"{}", {}, within(10, connect=0.5)))
    assert seconds < 2


def test_a_redirect_is_not_followed(upstream: Upstream) -> None:
    upstream.script = answers(b"", status=302, headers={"location": f"{upstream.base_url}/elsewhere"})
    assert transport(upstream.base_url).send(PATH, b"{}", {}, within()).status == 302
    assert len(upstream.received) == 1


def test_the_environments_proxies_and_bundles_do_not_apply(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none"))
    assert transport(upstream.base_url).send(PATH, b"{}", {}, within()).status == 200


def test_a_configured_proxy_is_used_with_its_password(upstream: Upstream) -> None:
    proxy = Secret(f"http://user:pass@127.0.0.1:{upstream.port}")
    transport("http://api.example.test/v1", proxy=proxy).send(PATH, b"{}", {}, within()).read()
    request = upstream.received[0]
    assert request.path == "http://api.example.test/v1/chat/completions"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"


def test_a_server_without_a_valid_certificate_is_not_trusted(upstream: Upstream) -> None:
    upstream.script = sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    error, _ = failure_after(
        lambda: transport(upstream.base_url.replace("http:", "https:")).send(PATH, b"{}", {}, within(1))
    )
    assert isinstance(error, UpstreamError | UpstreamTimeout)
