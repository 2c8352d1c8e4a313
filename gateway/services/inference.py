"""The spine: one request walks this one way, whatever dialect it came in."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.accounting.prices import FREE, Catalogue, Price, own_price
from gateway.accounting.tokens import TokenCounter
from gateway.config import Settings
from gateway.config.vendors import VENDORS
from gateway.errors import GatewayError, NoProviderAvailable, StaleConnection, UpstreamError, UpstreamTimeout
from gateway.model import ChatRequest, Completion, Target, Usage
from gateway.providers.base import Call, Provider
from gateway.routing.router import MOST_ATTEMPTS, Candidate, Router
from gateway.services.health import Health
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import RequestRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A settled answer. `cost_nano` is None for a model without a price."""

    completion: Completion
    usage: Usage
    cost_nano: int | None
    target: Target


class Inference:
    """Answers chat requests.

    Args:
        settings: the configuration.
        router: finds the targets for a model's name.
        providers: the configured providers by name.
        catalogue: the price catalogue.
        tokens: counts where a provider does not.
        metrics: the gateway's counters.
        health: is told how each provider's latest call ended.
    """

    def __init__(
        self,
        settings: Settings,
        router: Router,
        providers: Mapping[str, Provider],
        catalogue: Catalogue,
        tokens: TokenCounter,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._settings = settings
        self._router = router
        self._providers = providers
        self._catalogue = catalogue
        self._tokens = tokens
        self._metrics = metrics
        self._health = health
        self._own_prices = {
            name: own_price(model.price) for name, model in settings.models.items() if model.price is not None
        }
        self._told_unpriced: set[str] = set()

    def complete(self, request: ChatRequest, record: RequestRecord, deadline: float | None = None) -> Answer:
        """Get a whole answer: resolve the model, then try its targets in order until one answers.

        Args:
            request: what the client asks.
            record: gets everything worth logging.
            deadline: monotonic seconds at which the client stops waiting, or None.

        Raises:
            GatewayError: the last target's failure, or the first that no other target can mend.
        """
        record.user_id, record.model = request.user_id, request.model
        candidates = self._router.candidates(request.model)
        call_id = uuid.uuid4().hex
        failure: GatewayError = NoProviderAvailable("No provider is available for this model.")
        while candidates and record.attempts < MOST_ATTEMPTS:
            candidate = candidates.pop(0)
            record.attempts += 1
            try:
                completion = self._attempt(request, candidate, Call(call_id, record.attempts, deadline), record)
            except GatewayError as error:
                failure = error
                if isinstance(error, StaleConnection):
                    candidates.insert(0, candidate)  # nothing was answered: the same target, on another connection
                elif not error.retryable:
                    break
            else:
                return self._close(request, candidate, completion, record)
        raise failure

    def _attempt(self, request: ChatRequest, candidate: Candidate, call: Call, record: RequestRecord) -> Completion:
        target = candidate.target
        record.model, record.provider = target.model, target.provider
        sent = time.monotonic()
        try:
            completion = self._providers[target.provider].complete(request, target.model, call)
        except (UpstreamError, UpstreamTimeout):
            self._health.provider(target.provider, "down")
            raise
        else:
            self._health.provider(target.provider, "ok")
            return completion
        finally:
            record.upstream_seconds += time.monotonic() - sent

    def _close(
        self, request: ChatRequest, candidate: Candidate, completion: Completion, record: RequestRecord
    ) -> Answer:
        """Price the answer and write down what came of it."""
        target = candidate.target
        usage = completion.usage or self._counted(request, completion, target)
        price = self._price(candidate)
        cost = price.cost(usage) if price else None
        if price is None:
            self._report_unpriced(target)
        record.usage, record.cost_nano = usage, cost
        record.finish_reason = completion.finish_reason
        record.upstream_request_id = completion.upstream_request_id
        if self._settings.log_prompts:
            record.prompt = "\n".join(message.content for message in request.messages)
            record.response = completion.text
        return Answer(completion, usage, cost, target)

    def _counted(self, request: ChatRequest, completion: Completion, target: Target) -> Usage:
        return Usage(
            prompt_tokens=self._tokens.count_messages(request.messages, target.model),
            completion_tokens=self._tokens.count(completion.text, target.model),
            source="counted",
        )

    def _price(self, candidate: Candidate) -> Price | None:
        """The operator's price of the name under `models:`, else the catalogue's of the target."""
        if candidate.alias in self._own_prices:
            return self._own_prices[candidate.alias]
        kind = self._settings.providers[candidate.target.provider].kind
        if kind == "offline":
            return FREE
        provider_id = VENDORS[kind].prices
        return self._catalogue.price(provider_id, candidate.target.model) if provider_id else None

    def _report_unpriced(self, target: Target) -> None:
        name = str(target)
        self._metrics.unpriced(name)
        if name not in self._told_unpriced and len(self._told_unpriced) < 1000:
            self._told_unpriced.add(name)
            log.warning("%s has no price: its cost is not known. Give it one under models: … price:", name)
