"""Whether a target takes a call now: its provider's room, a credential that may be used, its breaker."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.settings import ProviderSettings
from gateway.errors import CredentialRested, GatewayError
from gateway.model import State, Target
from gateway.routing.breakers import Breakers, Open
from gateway.routing.credentials import AllRest, Credentials

_ROOM = 0.75  # of a worker's calls that one of several providers may have, where nothing else is said
_NO_ROOM_FOR = 1.0  # seconds; nobody knows


class Unavailable(Exception):
    """A target takes no call now.

    Args:
        why: in a few words, for the log.
        seconds: after which it may.
    """

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.why = why
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Place:
    """A call's place at a target.

    Attributes:
        key: which of the provider's credentials it shows.
        is_probe: it finds out whether the target answers again.
    """

    target: Target
    key: int
    is_probe: bool


class Targets:
    """All targets of all providers, as the workers find them.

    Args:
        providers: the configured ones.
        breakers: which targets are left alone.
        credentials: what they are shown.
        most: calls at once that this worker takes on.
    """

    def __init__(
        self, providers: Mapping[str, ProviderSettings], breakers: Breakers, credentials: Credentials, most: int
    ) -> None:
        self._breakers = breakers
        self._credentials = credentials
        room = most if len(providers) == 1 else max(1, int(_ROOM * most))
        self._room = {name: provider.max_in_flight or room for name, provider in providers.items()}
        self._in_flight: Counter[str] = Counter()
        self._counting = threading.Lock()

    def enter(self, target: Target, conversation: str | None = None, rested: bool = True) -> Place:
        """Take a place, which is to be left once.

        Args:
            target: who is to be called.
            conversation: whose call it is.
            rested: only with a credential that need not rest.

        Raises:
            Unavailable: there is none now.
        """
        with self._counting:
            if self._in_flight[target.provider] >= self._room[target.provider]:
                raise Unavailable("no room", _NO_ROOM_FOR)
            self._in_flight[target.provider] += 1
        try:
            key = self._credentials.pick(target.provider, conversation, rested)
            return Place(target, key, self._breakers.enter(target))
        except (AllRest, Open) as closed:
            with self._counting:
                self._in_flight[target.provider] -= 1
            raise Unavailable(str(closed), closed.seconds) from None

    def answered(self, place: Place) -> None:
        """The target has begun to answer: that ends a probe, however long the answer takes."""
        self._breakers.succeeded(place.target, place.is_probe)

    def leave(self, place: Place, is_well: bool | None, error: GatewayError | None = None) -> None:
        """Give a place back.

        Args:
            place: which one.
            is_well: whether the target has answered; None where the call says nothing of it.
            error: what ended the call; None for an answer.
        """
        with self._counting:
            self._in_flight[place.target.provider] -= 1
        if isinstance(error, CredentialRested):
            self._credentials.rest(place.target.provider, place.key, error)
        if is_well:
            self._breakers.succeeded(place.target, place.is_probe)
        elif is_well is False:
            self._breakers.failed(place.target, place.is_probe)

    def has_another_key(self, place: Place) -> bool:
        """Whether the provider has a credential that need not rest."""
        return self._credentials.has_another(place.target.provider)

    def states(self) -> dict[str, State]:
        """How each provider fares: as the worst of its targets."""
        found: dict[str, State] = dict.fromkeys(self._room, "ok")
        for target, breaker in self._breakers.all().items():
            if not breaker.closed:
                found[target.provider] = "down"
            elif breaker.failures and found[target.provider] == "ok":
                found[target.provider] = "degraded"
        return found
