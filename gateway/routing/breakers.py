"""The breakers of all targets, which the workers share."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config.settings import BreakerSettings
from gateway.model import Target
from gateway.routing.board import Board
from gateway.routing.breaker import Breaker

_CLOSED = Breaker()
_FAILED = "breakers"  # the cell with the names of all targets that have failed anywhere, a line each


class Open(Exception):
    """A target takes no call.

    Args:
        seconds: after which it may.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("left alone after failures")
        self.seconds = seconds


class Breakers:
    """All breakers.

    Args:
        board: what workers tell each other.
        settings: when a target is left alone.
        label: the name of a provider's model that its breaker has; there must be few. None where it has no breaker.
    """

    def __init__(self, board: Board, settings: BreakerSettings, label: Callable[[str, str], str | None]) -> None:
        self._board = board
        self._settings = settings
        self._label = label
        self._targets: dict[str, Target] = {}  # by their cell
        board.before_looking(self._hear)

    def enter(self, target: Target) -> bool:
        """Let a call through; whether it is the probe. Raises Open."""
        cell = self._cell(target)
        if not cell or (seen := Breaker.read(self._board.get(cell))).closed:
            return False
        if wait := seen.wait(self._board.now()):
            raise Open(wait)
        found, waits = _CLOSED, 0.0

        def change(content: bytes, now: int) -> bytes:
            nonlocal found, waits
            found = Breaker.read(content)  # others may have been faster
            waits = found.wait(now)
            return content if found.closed or waits else found.let_through(now).write()

        self._board.change(cell, change)
        if waits:
            raise Open(waits)
        return not found.closed

    def succeeded(self, target: Target, is_probe: bool) -> None:
        """An answer came."""
        cell = self._cell(target)
        if cell and self._board.get(cell):
            self._board.change(cell, lambda content, now: Breaker.read(content).succeeded(is_probe).write())

    def failed(self, target: Target, is_probe: bool) -> None:
        """None came, or one that broke off."""
        cell, settings = self._cell(target), self._settings
        if not cell:
            return

        def change(content: bytes, now: int) -> bytes:
            return Breaker.read(content).failed(now, is_probe, settings.failures, settings.open_seconds).write()

        self._board.change(cell, change)
        name = str(self._targets[cell])
        if name not in self._failed():
            self._board.change(_FAILED, lambda content, now: _with(content, name))

    def all(self) -> dict[Target, Breaker]:
        """Those of all targets that were called here or have failed anywhere, by the names that they share."""
        return {target: Breaker.read(self._board.get(cell)) for cell, target in list(self._targets.items())}

    def _failed(self) -> list[str]:
        return self._board.get(_FAILED).decode().splitlines()

    def _hear(self) -> None:
        """Look also at those that have failed elsewhere."""
        for name in self._failed():
            provider, _, model = name.partition("/")
            if cell := self._cell(Target(provider, model)):
                self._board.get(cell)

    def _cell(self, target: Target) -> str | None:
        label = self._label(target.provider, target.model)
        if label is None:
            return None
        cell = f"breaker {target.provider}/{label}"
        if cell not in self._targets:
            self._targets[cell] = Target(target.provider, label)
        return cell


def _with(content: bytes, name: str) -> bytes:
    names = content.decode().splitlines()
    return content if name in names else "\n".join([*names, name]).encode()
