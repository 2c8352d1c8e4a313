"""Whether a target takes a call now: its provider's room, a credential that may be used, its breaker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from gateway.config.settings import ProviderSettings
from gateway.errors import CredentialRested, GatewayError
from gateway.model import State, Target
from gateway.policy.places import Ask, Places
from gateway.routing.breakers import Breakers
from gateway.routing.credentials import Credentials
from gateway.routing.unavailable import Unavailable

_NO_ROOM_FOR = 1.0  # seconds; nobody knows


@dataclass(slots=True)
class Place:
    """A call's place at a target.

    Attributes:
        tenant: whose call it is.
        asks: what it has of each bound on calls at once.
        key: which of the provider's credentials it shows.
        is_probe: it finds out whether the target answers again.
    """

    target: Target
    tenant: str
    asks: list[tuple[Places, Ask]]
    key: int = 0
    is_probe: bool = False


class Targets:
    """All targets of all providers, as the workers find them.

    Of a worker's calls each provider has its share, so that one that hangs leaves room for the others; of those that a
    provider may have at most, each tenant has.

    Args:
        providers: the configured ones.
        breakers: which targets are left alone.
        credentials: what they are shown.
        most: says how many calls at once this worker takes on.
    """

    def __init__(
        self,
        providers: Mapping[str, ProviderSettings],
        breakers: Breakers,
        credentials: Credentials,
        most: Callable[[], int],
    ) -> None:
        self._providers = list(providers)
        self._breakers = breakers
        self._credentials = credentials
        self._most = most
        bounds = {name: provider.max_in_flight for name, provider in providers.items()}
        self._bounds = {name: Places(bound, 0, 0) for name, bound in bounds.items() if bound}
        self._counting = threading.Lock()

    @cached_property
    def _shares(self) -> Places:
        """Of all calls, by provider; made when the first one comes, since the server says how many it can serve."""
        return Places(self._most(), 0, 0)

    def enter(self, target: Target, tenant: str, conversation: str | None = None, rested: bool = True) -> Place:
        """Take a place, which is to be left once.

        Args:
            target: who is to be called.
            tenant: who pays.
            conversation: whose call it is.
            rested: only with a credential that need not rest.

        Raises:
            Unavailable: there is none now.
        """
        place = Place(target, tenant, [])
        try:
            self._find_room(place)
            place.key = self._credentials.pick(target, conversation, rested)
            place.is_probe = self._breakers.enter(target, tenant)
        except BaseException:
            self._free(place)
            raise
        return place

    @contextmanager
    def aside(self, place: Place) -> Iterator[None]:
        """Have others use the place in this block, in which its call waits. Raises Unavailable where none is left."""
        self._free(place)
        yield
        self._find_room(place)

    def answered(self, place: Place) -> None:
        """The target has begun to answer: that ends a probe, however long the answer takes."""
        if place.is_probe:
            place.is_probe = False
            self._breakers.answering(place.target)

    def leave(self, place: Place, is_well: bool | None, error: GatewayError | None = None, sent: bool = True) -> None:
        """Give a place back.

        Args:
            place: which one.
            is_well: whether the target has answered; None where the call says nothing of it.
            error: what ended the call; None for an answer.
            sent: whether the target was called at all.
        """
        self._free(place)
        if isinstance(error, CredentialRested):
            self._credentials.rest(place.target, place.key, error)
        if is_well:
            self._breakers.succeeded(place.target, place.tenant, place.is_probe)
        elif is_well is False:
            self._breakers.failed(place.target, place.tenant, place.is_probe)
        elif place.is_probe:
            self._breakers.came_to_nothing(place.target, place.tenant, sent)

    def _find_room(self, place: Place) -> None:
        provider, now = place.target.provider, time.monotonic()
        place.asks.clear()
        with self._counting:
            for places, whose in ((self._shares, provider), (self._bounds.get(provider), place.tenant)):
                if places:
                    place.asks.append((places, places.ask(whose, now)))
        if not all(ask.is_in for _, ask in place.asks):
            raise Unavailable("no room", _NO_ROOM_FOR)

    def _free(self, place: Place) -> None:
        with self._counting:
            for places, ask in place.asks:
                places.leave(ask, time.monotonic())

    def has_another_key(self, place: Place) -> bool:
        """Whether the provider has another credential that need not rest."""
        return self._credentials.has_another(place.target, place.key)

    def states(self) -> dict[str, State]:
        """How each provider fares: as the worst of its targets."""
        found = {provider: self._credentials.state(provider) for provider in self._providers}
        for target, breaker in self._breakers.all().items():
            if not breaker.closed:
                found[target.provider] = "down"
            elif breaker.failures and found[target.provider] == "ok":
                found[target.provider] = "degraded"
        return found
