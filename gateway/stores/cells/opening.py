"""The one place that knows where cells are."""

from __future__ import annotations

from pathlib import Path

from gateway.config import Secret
from gateway.stores.cells import Cells
from gateway.stores.cells.embedded import EmbeddedCells


def open_cells(redis_url: Secret | None, data_dir: Path) -> Cells:
    """The cells of all workers.

    Args:
        redis_url: of several hosts; None for those of this one.
        data_dir: the directory of all embedded state.

    Raises:
        StoreError: the address cannot be used.
    """
    if redis_url:
        from gateway.stores.cells.redis import RedisCells  # its driver is not loaded for nothing

        return RedisCells(redis_url)
    return EmbeddedCells(data_dir)
