"""The spine: one request walks this one way, whatever dialect it came in."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.accounting.costs import Costs
from gateway.accounting.tokens import TokenCounter
from gateway.errors import GatewayError, StaleConnection, UpstreamError, UpstreamTimeout
from gateway.model import ChatRequest, Completion, Target, Usage
from gateway.providers.base import Call, Provider
from gateway.routing.router import MOST_ATTEMPTS, Candidate, Router
from gateway.services.health import Health
from gateway.telemetry.logs import log_failed_attempt
from gateway.telemetry.record import RequestRecord


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
        router: finds the targets for a model's name.
        providers: the configured providers by name.
        costs: prices answers.
        tokens: counts where a provider does not.
        health: is told how each provider's latest call ended.
        keep_prompts: record prompts and answers for the log.
    """

    def __init__(
        self,
        router: Router,
        providers: Mapping[str, Provider],
        costs: Costs,
        tokens: TokenCounter,
        health: Health,
        keep_prompts: bool,
    ) -> None:
        self._router = router
        self._providers = providers
        self._costs = costs
        self._tokens = tokens
        self._health = health
        self._keep_prompts = keep_prompts

    def complete(self, request: ChatRequest, record: RequestRecord, deadline: float | None = None) -> Answer:
        """Get a whole answer: resolve the model, then try its targets in order until one answers.

        Args:
            request: what the client asks.
            record: gets everything worth logging.
            deadline: monotonic seconds at which the client stops waiting, or None.

        Raises:
            GatewayError: the last target's failure, or the first that no other target can mend.
        """
        record.user_id, record.requested_model = request.user_id, request.model and request.model[:256]
        candidates = self._router.candidates(request.model)
        call_id = uuid.uuid4().hex
        while True:
            candidate = candidates.pop(0)
            record.attempts += 1
            try:
                completion = self._attempt(request, candidate, Call(call_id, record.attempts, deadline), record)
            except GatewayError as error:
                if isinstance(error, StaleConnection):
                    candidates.insert(0, candidate)  # nothing was answered: the same target, on another connection
                if not error.retryable or not candidates or record.attempts == MOST_ATTEMPTS:
                    raise
            else:
                return self._close(request, candidate, completion, record)

    def _attempt(self, request: ChatRequest, candidate: Candidate, call: Call, record: RequestRecord) -> Completion:
        target = candidate.target
        record.model, record.provider = target.model, target.provider
        sent = time.monotonic()
        try:
            completion = self._providers[target.provider].complete(request, target.model, call)
        except (UpstreamError, UpstreamTimeout) as error:
            log_failed_attempt(record, error.code, error.detail)
            if not call.expired:  # a client's own deadline says nothing about the provider
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
        cost = self._costs.of(usage, target, candidate.alias)
        record.usage, record.cost_nano = usage, cost
        record.finish_reason = completion.finish_reason
        record.upstream_request_id = completion.upstream_request_id
        if self._keep_prompts:
            record.prompt = "\n".join(message.content for message in request.messages)
            record.response = completion.text
        return Answer(completion, usage, cost, target)

    def _counted(self, request: ChatRequest, completion: Completion, target: Target) -> Usage:
        return Usage(
            prompt_tokens=self._tokens.count_messages(request.messages, target.model),
            completion_tokens=self._tokens.count(completion.text, target.model),
            source="counted",
        )
