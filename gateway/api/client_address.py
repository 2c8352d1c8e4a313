"""Where a request comes from, through the proxies that the operator trusts and no others."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from gateway.config.settings import Network


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy's.

    Args:
        peer: the socket's other end.
        forwarded_for: all of X-Forwarded-For, in which each proxy has added its own peer on the right.
        trusted: the proxies' networks.
    """
    address, hops = peer, forwarded_for.split(",")
    while trusted and hops and _is_in(address, trusted):
        hop = hops.pop().strip()
        if _parsed(hop) is None:
            break
        address = hop
    return address


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
