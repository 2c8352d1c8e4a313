"""Guessing at keys: who shows too many wrong ones is told to wait, and a right one is let in all the same."""

from __future__ import annotations

import hashlib
import ipaddress
import math

from gateway.errors import TooManyGuesses
from gateway.stores.counters import Counters, Demand

_MOST = 1000  # wrong credentials of one address
_SECONDS = 60
_NEIGHBOURS = 64  # bits of an IPv6 address that one customer has to choose from


class Guesses:
    """Counts wrong credentials by the address that they come from.

    Args:
        counters: where.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def count(self, address: str) -> None:
        """Count one.

        Raises:
            TooManyGuesses: there were too many lately.
        """
        counter = hashlib.blake2b(f"guesses\0{_network(address)}".encode(), digest_size=16).digest()
        verdict = self._counters.take([Demand(counter, _SECONDS, _MOST, 1)])
        if not verdict.taken:
            raise TooManyGuesses(retry_after=math.ceil(verdict.waits[0]))


def _network(address: str) -> str:
    """The addresses that one guesser may have."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a Unix socket's
        return address
    found = getattr(found, "ipv4_mapped", None) or found
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, found.max_prefixlen - _NEIGHBOURS), strict=False))
