"""Other processes that change cells, each holding a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from gateway.config import Secret
from gateway.stores.cells import Cells
from gateway.stores.cells.embedded import EmbeddedCells
from gateway.stores.cells.redis import RedisCells
from tests.unit.stores.counters.workers import processes

Make = Callable[[str], Cells]  # of a directory or an address


def embedded(where: str) -> Cells:
    return EmbeddedCells(Path(where))


def on_redis(where: str) -> Cells:
    return RedisCells(Secret(where))


def one_more(held: bytes, _: int) -> bytes:
    return b"%d" % (int(held or 0) + 1)


def add(make: Make, where: str, times: int) -> None:
    """Add 1 to a cell again and again."""
    cells = make(where)
    for _ in range(times):
        cells.change("sum", one_more)


def tell(make: Make, where: str, told: Connection) -> None:
    """Add 1 to a cell without end, and tell each sum."""
    cells = make(where)
    while True:
        told.send_bytes(cells.change("sum", one_more)[1])


@contextmanager
def adding(make: Make, where: str) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that adds, and what it tells."""
    sums, telling = processes().Pipe(duplex=False)
    process = processes().Process(target=tell, args=(make, where, telling))
    process.start()
    telling.close()
    try:
        yield process, sums
    finally:
        process.kill()
        process.join()
        sums.close()
