"""Cells of one host: nothing is written for nothing, and nothing fills up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.stores import StoreError
from gateway.stores.cells import embedded as module
from gateway.stores.cells.embedded import EmbeddedCells
from gateway.stores.cells.opening import open_cells
from gateway.stores.embedded import Environment


def last_written(cells: EmbeddedCells) -> int:
    """The number of the last transaction that wrote anything."""
    return cells._env._env.info()["last_txnid"]


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    cells = EmbeddedCells(tmp_path)
    cells.change("a", lambda held, now: b"1")
    before = last_written(cells)
    cells.change("a", lambda held, now: b"1")
    cells.change("b", lambda held, now: b"")
    assert last_written(cells) == before
    cells.change("a", lambda held, now: b"2")
    assert last_written(cells) > before


def test_an_empty_cell_takes_no_room(tmp_path: Path) -> None:
    cells = EmbeddedCells(tmp_path)
    for content in (b"1", b""):
        cells.change("a", lambda held, now, content=content: content)
        assert cells._env.read(lambda records: records.stat()["entries"]) == len(content)


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    cells = open_cells(None, tmp_path)
    assert list(tmp_path.iterdir()) == []
    cells.read([])
    assert [each.name.split("-")[0] for each in tmp_path.iterdir()] == ["cells"]


def test_of_many_calls_at_once_one_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, opening, open_really = EmbeddedCells(tmp_path), threading.Lock(), module.open_environment

    def open_slowly(*arguments: Any) -> Environment:
        assert opening.acquire(blocking=False), "two at once"
        time.sleep(0.02)
        opening.release()
        return open_really(*arguments)

    monkeypatch.setattr(module, "open_environment", open_slowly)
    with ThreadPoolExecutor(8) as pool:
        assert [each[1] for each in pool.map(cells.read, [["a"]] * 8)] == [[b""]] * 8


def test_time_is_that_of_the_clock(tmp_path: Path) -> None:
    cells = EmbeddedCells(tmp_path, lambda: 42)
    assert (cells.read([]), cells.change("a", lambda held, now: b"%d" % now)) == ((42, []), (42, b"42"))


@pytest.mark.parametrize("size", [8, 2000, 20_000])
def test_ever_new_cells_never_fill_it_and_the_latest_is_always_there(size: int, tmp_path: Path) -> None:
    cells, forgotten = EmbeddedCells(tmp_path), 0
    cells.change("0", lambda held, now: bytes(size))
    for number in range(1, 30_000_000 // (size + 1000)):
        name, content = str(number), bytes([number % 256]) * size
        cells.change(name, lambda held, now, content=content: content)
        before, last = cells.read([str(number - 1), name])[1]
        assert last == content
        forgotten += not before
    assert 0 < forgotten < number / 20


def test_what_is_too_large_is_a_failing_store_and_nothing_else_is_lost(tmp_path: Path) -> None:
    cells = EmbeddedCells(tmp_path)
    cells.change("a", lambda held, now: b"1")
    with pytest.raises(StoreError):
        cells.change("b", lambda held, now: bytes(module._MAP))
    assert cells.read(["a", "b"])[1] == [b"1", b""]


def test_a_directory_that_cannot_be_used_is_a_failing_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cells = EmbeddedCells(tmp_path / "file")
    with pytest.raises(StoreError):
        cells.read(["a"])
