"""TLS: whom the gateway trusts, and deadlines that hold below it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from gateway.config.secrets import Secret
from gateway.errors import ConnectTimeout, UpstreamTimeout, UpstreamUnreachable
from tests.fakes.upstream import Upstream, response
from tests.unit.providers.calls import PATH, failure_after, transport, within


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def serve_tls(
    upstream: Upstream, authority: trustme.CA, name: str, send: Callable[[socket.socket, bytes], object]
) -> str:
    """Let `upstream` speak TLS by hand: handshake, read a request, and `send` the encrypted answer. Its base URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    def on_connect(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65_536))
        connection.sendall(outgoing.read())
        while True:
            try:
                tls.read(65_536)
                break
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65_536))
        tls.write(response(b'{"choices": []}' + b" " * 8000))
        send(connection, outgoing.read())

    upstream.on_connect = on_connect
    return f"https://127.0.0.1:{upstream.port}/v1"


def drip(connection: socket.socket, data: bytes) -> None:
    for byte in data[:100]:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


def test_a_provider_with_a_certificate_of_the_bundle_is_trusted(
    upstream: Upstream, authority: trustme.CA, bundle: str
) -> None:
    url = serve_tls(upstream, authority, "127.0.0.1", socket.socket.sendall)
    assert transport(url, ca_bundle=bundle).send(PATH, b"{}", {}, within()).read().startswith(b'{"choices": []}')


def test_any_other_certificate_is_not(upstream: Upstream, authority: trustme.CA, bundle: str) -> None:
    url = serve_tls(upstream, authority, "127.0.0.1", socket.socket.sendall)
    assert type(failure_after(lambda: transport(url).send(PATH, b"{}", {}, within()))[0]) is UpstreamUnreachable
    url = serve_tls(upstream, authority, "another.name", socket.socket.sendall)
    assert (
        type(failure_after(lambda: transport(url, ca_bundle=bundle).send(PATH, b"{}", {}, within()))[0])
        is UpstreamUnreachable
    )


def test_a_record_that_drips_ends_with_the_deadline(upstream: Upstream, authority: trustme.CA, bundle: str) -> None:
    url = serve_tls(upstream, authority, "127.0.0.1", drip)
    error, seconds = failure_after(lambda: transport(url, ca_bundle=bundle).send(PATH, b"{}", {}, within(1)).read())
    assert type(error) is UpstreamTimeout
    assert seconds < 2.5


def test_a_handshake_that_is_not_answered_may_be_retried(upstream: Upstream) -> None:
    upstream.on_connect = lambda connection: time.sleep(3)
    sender = transport(upstream.base_url.replace("http:", "https:"))
    error, seconds = failure_after(lambda: sender.send(PATH, b"{}", {}, within(10, connect=0.4)))
    assert type(error) is ConnectTimeout
    assert error.retryable
    assert seconds < 1.5


def test_a_proxy_that_does_not_answer_connect_is_no_answer_either(upstream: Upstream) -> None:
    upstream.on_connect = lambda connection: time.sleep(3)
    sender = transport("https://api.example.test/v1", proxy=Secret(f"http://127.0.0.1:{upstream.port}"))
    error, seconds = failure_after(lambda: sender.send(PATH, b"{}", {}, within(10, connect=0.4)))
    assert type(error) is ConnectTimeout
    assert seconds < 1.5
