"""Only a proxy that the operator trusts may say where a request comes from."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.api.client_address import client_address

TRUSTED = tuple(ipaddress.ip_network(network) for network in ("10.0.0.0/8", "192.168.1.1", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "9.9.9.9, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4,203.0.113.9", "203.0.113.9"),
        ("192.168.1.2", "1.2.3.4", "192.168.1.2"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, evil\n, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "1.2.3.4, 10.0.0.2 extra", "10.0.0.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("", "1.2.3.4", ""),
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxy_is_the_clients(
    peer: str, forwarded_for: str, address: str
) -> None:
    assert client_address(peer, forwarded_for, TRUSTED) == address


def test_without_trusted_proxies_nothing_that_is_forwarded_is_believed() -> None:
    assert client_address("10.0.0.1", "1.2.3.4", ()) == "10.0.0.1"
