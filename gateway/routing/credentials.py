"""The credentials of each provider: several are a pool, of which one that was refused, or used too often, rests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256

from gateway.config.settings import ProviderSettings
from gateway.errors import CredentialRefused, CredentialRested
from gateway.model import State, Target
from gateway.routing.affinity import ranked
from gateway.routing.board import SECOND, Board
from gateway.routing.unavailable import Resting

LONGEST = 60.0  # seconds of rest


class Credentials:
    """Which to use. What rests, rests for one model of its provider: only a credential that is wrong does for all.

    Args:
        providers: the configured ones.
        board: what workers tell each other.
        label: the name of a provider's model that its rest has; there must be few. None where nothing rests.
    """

    def __init__(
        self, providers: Mapping[str, ProviderSettings], board: Board, label: Callable[[str, str], str | None]
    ) -> None:
        self._board = board
        self._label = label
        self._asked: dict[str, set[str | None]] = {name: set() for name in providers}  # labels of models
        self._names = {
            name: [f"credential {name} {sha256(key.reveal().encode()).hexdigest()[:16]}" for key in provider.api_keys]
            for name, provider in providers.items()
        }

    def pick(self, target: Target, conversation: str | None, rested: bool) -> int:
        """Which to show: a conversation's own as long as that one may be used.

        Args:
            target: to whom.
            conversation: whose call it is.
            rested: none that is to rest; otherwise one will do whose rest the provider has not asked for.

        Raises:
            Resting: there is none.
        """
        names = self._names[target.provider]
        if not names:
            return 0
        self._asked[target.provider].add(self._label(target.provider, target.model))
        rests = [self._rests(name, target) for name in names]
        usable = [key for key, (rest, _) in enumerate(rests) if not rest]
        usable = usable or [key for key, (_, asked_for) in enumerate(rests) if not (rested or asked_for)]
        if not usable:
            raise Resting("its credentials rest", min(rest for rest, _ in rests))
        return ranked(usable, lambda _: 1, conversation)[0]

    def has_another(self, target: Target, than: int) -> bool:
        """Whether there is another one now that need not rest."""
        names = self._names[target.provider]
        return any(key != than and not self._rests(name, target)[0] for key, name in enumerate(names))

    def rest(self, target: Target, key: int, refusal: CredentialRested) -> None:
        """Leave one alone for a while; the only one there is, only where the provider asks for it or it is wrong."""
        names, for_all = self._names[target.provider], isinstance(refusal, CredentialRefused)
        if len(names) > 1 or (names and (for_all or refusal.asks_for_rest)):
            seconds = min(LONGEST, (refusal.retry_after or 0) if refusal.asks_for_rest else refusal.rest)
            cell = names[key] if for_all else self._of_model(names[key], target)
            asked_for = bytes([refusal.asks_for_rest])
            self._board.change(cell, lambda _, now: (now + int(seconds * SECOND)).to_bytes(8) + asked_for)

    def state(self, provider: str) -> State:
        """`down` where all of a provider's credentials are wrong, `degraded` where all rest for one of its models."""
        names, models = self._names[provider], list(self._asked[provider])
        wrong = {name for name in names if self._left(name)[0]}
        if names and len(wrong) == len(names):
            return "down"
        left = set(names) - wrong
        return "degraded" if any(all(self._left(f"{name} {model}")[0] for name in left) for model in models) else "ok"

    def _rests(self, name: str, target: Target) -> tuple[float, bool]:
        """Seconds for which one is to be left alone, and whether the provider has asked for that."""
        return max(self._left(name), self._left(self._of_model(name, target)))

    def _left(self, cell: str) -> tuple[float, bool]:
        """As above, of a cell. A clock that was put back ends it."""
        content = self._board.get(cell)
        if len(content) != 9:
            return 0.0, False
        left = (int.from_bytes(content[:8]) - self._board.now()) / SECOND
        return (left, content[8] == 1) if 0 < left <= LONGEST else (0.0, False)

    def _of_model(self, name: str, target: Target) -> str:
        return f"{name} {self._label(target.provider, target.model)}"
