"""The credentials of each provider: several are a pool, of which one that was refused, or used too often, rests."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from gateway.config.settings import ProviderSettings
from gateway.errors import CredentialRested
from gateway.routing.affinity import ranked
from gateway.routing.board import Board

SECOND = 1_000_000_000  # nanoseconds
LONGEST = 60.0  # seconds of rest


class AllRest(Exception):
    """None of a provider's credentials is to be used now.

    Args:
        seconds: until one may be.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("its credentials rest")
        self.seconds = seconds


class Credentials:
    """Which to use.

    Args:
        providers: the configured ones.
        board: what workers tell each other.
    """

    def __init__(self, providers: Mapping[str, ProviderSettings], board: Board) -> None:
        self._board = board
        self._cells = {
            name: [f"credential {name} {sha256(key.reveal().encode()).hexdigest()[:16]}" for key in provider.api_keys]
            for name, provider in providers.items()
        }

    def pick(self, provider: str, conversation: str | None, rested: bool) -> int:
        """Which to show: a conversation's own as long as that one may be used.

        Args:
            provider: whose.
            conversation: whose call it is.
            rested: none that is to rest; otherwise the one that has rested most will do.

        Raises:
            AllRest: there is none.
        """
        cells = self._cells[provider]
        if not cells:
            return 0
        rests = [self._rests(cell) for cell in cells]
        least = min(rests)
        if least and rested:
            raise AllRest(least)
        usable = [key for key, rest in enumerate(rests) if rest == least]
        return ranked(usable, lambda _: 1, conversation)[0]

    def has_another(self, provider: str) -> bool:
        """Whether there is one now that need not rest."""
        return any(not self._rests(cell) for cell in self._cells[provider])

    def rest(self, provider: str, key: int, refusal: CredentialRested) -> None:
        """Leave one alone for a while."""
        if self._cells[provider]:
            rest = int(min(LONGEST, refusal.retry_after or refusal.rest) * SECOND)
            self._board.change(self._cells[provider][key], lambda _, now: (now + rest).to_bytes(8))

    def _rests(self, cell: str) -> float:
        """Seconds for which it is to be left alone. A clock that was put back ends them."""
        left = (int.from_bytes(self._board.get(cell)) - self._board.now()) / SECOND
        return left if 0 < left <= LONGEST else 0.0
