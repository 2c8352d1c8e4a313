"""What tests change within a gateway: its answers name their worker; its leases may end sooner than half a minute, so
that what a dead gateway leaves need not be waited for so long; and it may have patience with a Redis on a busy machine.
To be imported before the application is made.
"""

from __future__ import annotations

import os

from flask import Flask, Response

from gateway.accounting import keeper
from gateway.stores.counters import redis, scripts
from gateway.stores.ledger import owners

LEASE = "FAULTS_LEASE"  # the variable that says how many seconds
PATIENCE = "FAULTS_PATIENCE"  # likewise, for an operation of the counters
WORKER = "x-worker"  # the header
_REAL = "LEASE, DAY = 30000000,"

redis._SECONDS = float(os.environ.get(PATIENCE, redis._SECONDS))


def sign(app: Flask) -> None:
    """Have every answer name its worker."""

    @app.after_request
    def signed(response: Response) -> Response:
        response.headers[WORKER] = str(os.getpid())
        return response


def shorten(seconds: int) -> None:
    """Shorten the leases of this process, and of those that are forked from it, and what goes with them."""
    owners.LEASE, owners._RENEWED_AFTER = seconds, seconds / 3
    keeper._SWEEP_EVERY = seconds / 3
    for name in ("TAKE", "CORRECT", "JOIN", "RENEW", "LEAVE"):
        script = getattr(scripts, name).replace(_REAL, f"LEASE, DAY = {seconds * 1_000_000},")
        assert script != getattr(scripts, name)
        setattr(scripts, name, script)
