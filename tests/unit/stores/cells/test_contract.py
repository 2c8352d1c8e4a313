"""What all cells promise: a change is made whole, by one at a time, and nothing of it is lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.stores.cells import Cells
from tests.unit.stores.cells import workers
from tests.unit.stores.cells.conftest import Place
from tests.unit.stores.cells.workers import one_more

ODD = bytes(range(256))


def put(cells: Cells, name: str, content: bytes) -> bytes:
    return cells.change(name, lambda held, now: content)[1]


def holds(cells: Cells, *names: str) -> list[bytes]:
    return cells.read(names)[1]


@pytest.mark.parametrize("names", [(), ("a",), ("b", "a", "b")])
def test_what_nobody_has_put_is_empty(names: tuple[str, ...], cells: Cells) -> None:
    assert holds(cells, *names) == [b""] * len(names)


def test_cells_are_read_in_the_order_that_is_asked_for(cells: Cells) -> None:
    put(cells, "a", b"1")
    put(cells, "b", ODD)
    assert holds(cells, "b", "c", "a", "b") == [ODD, b"", b"1", ODD]


@pytest.mark.parametrize("name", ["", "ключ {1}:\0", "long" * 1000])
def test_a_cell_may_have_any_name(name: str, cells: Cells) -> None:
    put(cells, name, b"1")
    put(cells, name + "2", b"2")
    assert holds(cells, name, name + "2") == [b"1", b"2"]


def test_a_change_is_told_what_the_cell_holds_and_tells_what_it_holds_then(cells: Cells) -> None:
    seen = []

    def longer(held: bytes, now: int) -> bytes:
        seen.append(held)
        return held + ODD

    assert [cells.change("a", longer)[1] for _ in range(3)] == [ODD, 2 * ODD, 3 * ODD]
    assert seen == [b"", ODD, 2 * ODD]


def test_time_is_in_nanoseconds_and_a_change_is_told_the_one_that_is_returned(cells: Cells) -> None:
    began, told = time.monotonic_ns(), []
    first = cells.read([])[0]
    second = cells.change("a", lambda held, now: told.append(now) or b"1")[0]
    third = cells.change("a", lambda held, now: told.append(now) or b"1")[0]
    last = cells.read(["a"])[0]
    assert first <= second <= third <= last <= first + time.monotonic_ns() - began + 1_000_000
    assert told == [second, third]
    time.sleep(0.05)
    assert 50_000_000 <= cells.read([])[0] - last < 1_000_000_000


def test_a_cell_that_becomes_empty_is_as_if_it_had_never_been(cells: Cells) -> None:
    put(cells, "a", b"1")
    assert put(cells, "a", b"") == b""
    assert put(cells, "a", b"") == b""
    assert holds(cells, "a") == [b""]
    assert cells.change("a", one_more)[1] == b"1"


def test_a_change_that_fails_leaves_the_cell_as_it_was_and_holds_nobody_up(cells: Cells) -> None:
    put(cells, "a", b"1")
    for error in (ValueError, KeyboardInterrupt):

        def fail(held: bytes, now: int, error: type[BaseException] = error) -> bytes:
            raise error("no")

        with pytest.raises(error, match="no"):
            cells.change("a", fail)
    assert holds(cells, "a") == [b"1"]
    assert cells.change("a", one_more)[1] == b"2"


def test_threads_lose_nothing(cells: Cells) -> None:
    def slowly(held: bytes, now: int) -> bytes:
        time.sleep(0)  # where others would come in between
        return one_more(held, now)

    with ThreadPoolExecutor(8) as pool:
        changes = pool.map(lambda _: cells.change("sum", slowly)[1], range(400))
        sums = sorted(int(each) for each in changes)
    assert sums == list(range(1, 401)), "each saw one that nobody else saw"
    assert holds(cells, "sum") == [b"400"]


def test_processes_lose_nothing(place: Place) -> None:
    with workers.processes().Pool(4) as pool:
        pool.starmap(workers.add, [(place.make, place.where, 200)] * 4, chunksize=1)
    assert holds(place.make(place.where), "sum") == [b"800"]


def test_what_a_process_has_changed_outlives_its_being_killed_and_nobody_waits_for_it(place: Place) -> None:
    cells = place.make(place.where)
    for _ in range(5):
        with workers.adding(place.make, place.where) as (process, sums):
            last = [sums.recv_bytes() for _ in range(50)][-1]
            process.kill()
            process.join()
            while sums.poll():  # what it told before
                try:
                    last = sums.recv_bytes()
                except (EOFError, OSError):  # nothing more, or the half of something
                    break
        untold = int(holds(cells, "sum")[0]) - int(last)
        began = time.monotonic()
        finished = int(cells.change("sum", one_more)[1]) - 1 - int(last)
        assert time.monotonic() - began < 2
        assert 0 <= untold <= finished <= 1, "what was all but done when it was killed is finished by the next writer"
