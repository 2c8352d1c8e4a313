"""One request with all that comes with it."""

from __future__ import annotations

import socket
from typing import NamedTuple

from gateway.model import CachePolicy, Caller, ModelRequest
from gateway.telemetry.record import RequestRecord


class Exchange(NamedTuple):
    """What the spine knows of whom it serves.

    Attributes:
        request: what is asked.
        caller: who asks.
        policy: how the cache may be used.
        record: gets everything worth logging.
        deadline: monotonic seconds at which the client stops waiting, or None.
        client: its connection, so that its leaving is noticed; None where there is none to watch.
    """

    request: ModelRequest
    caller: Caller
    policy: CachePolicy
    record: RequestRecord
    deadline: float | None = None
    client: socket.socket | None = None
