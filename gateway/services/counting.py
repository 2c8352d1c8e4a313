"""How many tokens a prompt has, before anything is bought."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.accounting.tokens import TokenCounter
from gateway.errors import GatewayError, InvalidField, ProviderRefused
from gateway.model import new_id
from gateway.providers.base import Call, Provider
from gateway.providers.fitting import fitted
from gateway.routing.router import Candidate, Router
from gateway.routing.targets import Targets
from gateway.routing.unavailable import Unavailable
from gateway.services.access import check_access
from gateway.services.exchange import Exchange


class Counting:
    """Counts prompts. It costs nothing, so nothing is held or written down.

    Args:
        router: finds the targets for a model's name.
        providers: the configured providers by name.
        targets: where a call of a provider has its place.
        tokens: counts where a provider does not.
    """

    def __init__(
        self, router: Router, providers: Mapping[str, Provider], targets: Targets, tokens: TokenCounter
    ) -> None:
        self._router = router
        self._providers = providers
        self._targets = targets
        self._tokens = tokens

    def count(self, exchange: Exchange) -> int:
        """As the first target counts, else an estimate.

        Raises:
            ModelNotAllowed, ModelNotFound: of the model that is asked for.
            ProviderRefused: the provider takes no such prompt.
        """
        request = exchange.request
        check_access(exchange.caller, self._router, request.model)
        candidate = self._router.candidates(request.model)[0]
        counted = self._ask(exchange, candidate)
        return self._tokens.count_prompt(request, candidate.target.model) if counted is None else counted

    def _ask(self, exchange: Exchange, candidate: Candidate) -> int | None:
        """What the provider says; None where it does not."""
        target, provider = candidate.target, self._providers[candidate.target.provider]
        try:
            place = self._targets.enter(target, exchange.caller.tenant)
        except Unavailable:
            return None
        failure: GatewayError | None = None
        try:
            request, _ = fitted(exchange.request, provider, target.model, refuse_hints=False, lenient=True)
            call = Call(new_id(), 1, exchange.deadline, exchange.client, key=place.key)
            return provider.count_tokens(request, target.model, call)
        except (ProviderRefused, InvalidField):
            raise
        except GatewayError as error:
            failure = error
            return None
        finally:
            self._targets.leave(place, failure is None or failure.is_well, failure)
