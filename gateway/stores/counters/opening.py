"""The one place that knows where it is counted."""

from __future__ import annotations

from pathlib import Path

from gateway.config import Secret
from gateway.stores.counters import SharedCounters
from gateway.stores.counters.embedded import EmbeddedCounters


def open_counters(redis_url: Secret | None, data_dir: Path) -> SharedCounters:
    """The counters of all workers.

    Args:
        redis_url: of several hosts; None for those of this one.
        data_dir: the directory of all embedded state.
    """
    if redis_url:
        from gateway.stores.counters.redis import RedisCounters  # its driver is not loaded for nothing

        return RedisCounters(redis_url)
    return EmbeddedCounters(data_dir)
