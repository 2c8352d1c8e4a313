"""Leases that end sooner than half a minute, so that tests of what a dead gateway leaves need not wait for so long."""

from __future__ import annotations

from hashlib import sha1

from gateway.accounting import keeper
from gateway.stores.counters import redis, scripts
from gateway.stores.ledger import owners

VARIABLE = "FAULTS_LEASE"  # seconds; without it they are what they are
_REAL = "LEASE, DAY = 30000000,"


def shorten(seconds: int) -> None:
    """Shorten the leases of this process, and of those that are forked from it, and what goes with them."""
    owners.LEASE, owners._RENEWED_AFTER = seconds, seconds / 3
    keeper._SWEEP_EVERY = seconds / 3
    for name in ("TAKE", "CORRECT", "JOIN", "RENEW", "LEAVE"):
        script = getattr(scripts, name).replace(_REAL, f"LEASE, DAY = {seconds * 1_000_000},")
        assert script != getattr(scripts, name)
        setattr(scripts, name, script)
        redis._HASHES[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
