"""The breakers of all targets, which the workers share."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config.settings import BreakerSettings
from gateway.model import Target
from gateway.routing.board import Board
from gateway.routing.breaker import Breaker, mark
from gateway.routing.unavailable import Unavailable

_CLOSED = Breaker()
_LEFT_ALONE = "left alone after failures"
_FAILED = "breakers"  # the cell with the names of all targets that have failed anywhere, a line each


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

    def enter(self, target: Target, tenant: str) -> bool:
        """Let a tenant's call through; whether it is the probe. Raises Unavailable."""
        cell, whose = self._cell(target), mark(tenant)
        content = self._board.get(cell) if cell else b""
        if not (cell and content) or (seen := Breaker.read(content)).closed_for(whose):
            return False  # an empty cell is that of a closed one, as nearly all are
        if wait := seen.wait(self._board.now(), whose):
            raise Unavailable(_LEFT_ALONE, wait)
        found, waits = _CLOSED, 0.0

        def change(content: bytes, now: int) -> bytes:
            nonlocal found, waits
            found = Breaker.read(content)  # others may have been faster
            waits = 0.0 if found.closed_for(whose) else found.wait(now, whose)
            return content if found.closed_for(whose) or waits else found.let_through(now).write()

        self._board.change(cell, change)
        if waits:
            raise Unavailable(_LEFT_ALONE, waits)
        return not found.closed_for(whose)

    def answering(self, target: Target) -> None:
        """The answer to a probe has begun."""
        if cell := self._cell(target):
            self._change(cell, lambda breaker, now: breaker.answering(self._settings.failures))

    def succeeded(self, target: Target, tenant: str, is_probe: bool) -> None:
        """A whole answer came."""
        cell, whose = self._cell(target), mark(tenant)
        if not (cell and (content := self._board.get(cell))):
            return  # as a rule there is nothing to tell the others
        seen = Breaker.read(content)
        if seen.succeeded(whose, is_probe) != seen:
            self._change(cell, lambda breaker, now: breaker.succeeded(whose, is_probe))

    def failed(self, target: Target, tenant: str, is_probe: bool) -> None:
        """None came, or one that broke off."""
        cell, settings, whose = self._cell(target), self._settings, mark(tenant)
        if not cell:
            return
        self._change(
            cell, lambda breaker, now: breaker.failed(now, whose, is_probe, settings.failures, settings.open_seconds)
        )
        name = str(self._targets[cell])
        if name not in self._failed():
            self._board.change(_FAILED, lambda content, now: _with(content, name))

    def came_to_nothing(self, target: Target, tenant: str, was_sent: bool) -> None:
        """A probe says nothing of the target."""
        if cell := self._cell(target):
            self._change(cell, lambda breaker, now: breaker.came_to_nothing(now, mark(tenant), was_sent))

    def _change(self, cell: str, event: Callable[[Breaker, int], Breaker]) -> None:
        self._board.change(cell, lambda content, now: event(Breaker.read(content), now).write())

    def all(self) -> dict[Target, Breaker]:
        """Those of all targets that were called here or have failed anywhere, by the names that they share."""
        return {target: Breaker.read(self._board.get(cell)) for cell, target in list(self._targets.items())}

    def _failed(self) -> list[str]:
        return _lines(self._board.get(_FAILED))

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


def _lines(content: bytes) -> list[str]:
    return content.decode(errors="replace").splitlines()


def _with(content: bytes, name: str) -> bytes:
    names = _lines(content)
    return content if name in names else "\n".join([*names, name]).encode()
