"""What workers tell each other, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.routing.board import Board
from gateway.stores.cells import Change
from gateway.stores.cells.local import LocalCells

SECOND = 1_000_000_000  # nanoseconds


class Clock:
    """Nanoseconds; it stands where it is put."""

    def __init__(self) -> None:
        self.now = 1_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


class StandingBoard(Board):
    """A board whose clock stands, too."""

    def __init__(self, cells: LocalCells, clock: Clock) -> None:
        super().__init__(cells)
        self.clock = clock

    def now(self) -> int:
        return self.clock.now


class Shared:
    """The cells that several workers have a board of."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cells = LocalCells(clock)
        self.changes = 0
        change = self._cells.change

        def counted(name: str, work: Change) -> tuple[int, bytes]:
            self.changes += 1
            return change(name, work)

        self._cells.change = counted  # type: ignore[method-assign]

    def board(self) -> Board:
        return StandingBoard(self._cells, self._clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(clock: Clock) -> Shared:
    return Shared(clock)


@pytest.fixture
def make_board(shared: Shared) -> Callable[[], Board]:
    """Makes the boards of workers, which share what is on them."""
    return shared.board
