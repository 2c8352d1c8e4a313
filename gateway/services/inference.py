"""The spine: one request walks this one way, whatever dialect it came in."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

from gateway.accounting.costs import Costs
from gateway.accounting.tokens import TokenCounter
from gateway.cache.responses import ResponseCache
from gateway.errors import GatewayError, StaleConnection, UpstreamError, UpstreamTimeout
from gateway.model import Answer, CachePolicy, Caller, ChatRequest, Completion, Target, Usage
from gateway.providers.base import Call, Provider
from gateway.routing.router import MOST_ATTEMPTS, Candidate, Router
from gateway.services.health import Health
from gateway.telemetry.logs import log_failed_attempt
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import RequestRecord


class Inference:
    """Answers chat requests.

    Args:
        router: finds the targets for a model's name.
        providers: the configured providers by name.
        costs: prices answers.
        tokens: counts where a provider does not.
        cache: answers that were bought before.
        metrics: counts attempts.
        health: is told how each provider's latest call ended.
        keep_prompts: record prompts and answers for the log.
    """

    def __init__(
        self,
        router: Router,
        providers: Mapping[str, Provider],
        costs: Costs,
        tokens: TokenCounter,
        cache: ResponseCache,
        metrics: Metrics,
        health: Health,
        keep_prompts: bool,
    ) -> None:
        self._router = router
        self._providers = providers
        self._costs = costs
        self._tokens = tokens
        self._cache = cache
        self._metrics = metrics
        self._health = health
        self._keep_prompts = keep_prompts

    def complete(
        self, request: ChatRequest, caller: Caller, policy: CachePolicy, record: RequestRecord, deadline: float | None
    ) -> Answer:
        """Get a whole answer: resolve the model, look in the cache, then try its targets in order until one answers.

        Args:
            request: what the client asks.
            caller: who asks.
            policy: how the cache may be used.
            record: gets everything worth logging.
            deadline: monotonic seconds at which the client stops waiting, or None.

        Raises:
            GatewayError: the last target's failure, or the first that no other target can mend.
        """
        record.user_id, record.requested_model = request.user_id, request.model and request.model[:256]
        candidates = self._router.candidates(request.model)
        slot = self._cache.slot(caller.tenant, map(str, candidates), request, policy)
        record.cache = "miss" if slot.policy.read else "bypass"
        if kept := slot.get():
            record.cache = "hit"
            return self._close(request, kept, record)
        call_id = uuid.uuid4().hex
        while True:
            candidate = candidates.pop(0)
            record.attempts += 1
            try:
                completion = self._attempt(request, candidate.target, Call(call_id, record.attempts, deadline), record)
            except GatewayError as error:
                if isinstance(error, StaleConnection):
                    candidates.insert(0, candidate)  # nothing was answered: the same target, on another connection
                elif error.retryable and candidates:
                    self._metrics.fallback()
                if not error.retryable or not candidates or record.attempts == MOST_ATTEMPTS:
                    raise
            else:
                answer = self._priced(request, candidate, completion)
                slot.put(answer)
                return self._close(request, answer, record)

    def _attempt(self, request: ChatRequest, target: Target, call: Call, record: RequestRecord) -> Completion:
        record.model, record.provider = target.model, target.provider
        sent, outcome = time.monotonic(), "success"
        try:
            completion = self._providers[target.provider].complete(request, target.model, call)
        except GatewayError as error:
            outcome = error.code
            if isinstance(error, UpstreamError | UpstreamTimeout):
                log_failed_attempt(record, error.code, error.detail)
                if not call.expired:  # a client's own deadline says nothing about the provider
                    self._health.provider(target.provider, "down")
            raise
        else:
            self._health.provider(target.provider, "ok")
            return completion
        finally:
            seconds = time.monotonic() - sent
            record.upstream_seconds += seconds
            self._metrics.attempt(target.provider, target.model, outcome, seconds)

    def _priced(self, request: ChatRequest, candidate: Candidate, completion: Completion) -> Answer:
        target = candidate.target
        usage = completion.usage or Usage(
            prompt_tokens=self._tokens.count_messages(request.messages, target.model),
            completion_tokens=self._tokens.count(completion.text, target.model),
            source="counted",
        )
        return Answer(completion, usage, self._costs.of(usage, target, candidate.alias), target)

    def _close(self, request: ChatRequest, answer: Answer, record: RequestRecord) -> Answer:
        """Write down what came of the request."""
        completion, target = answer.completion, answer.target
        record.model, record.provider, record.cached = target.model, target.provider, answer.cached
        record.usage, record.cost_nano = answer.usage, answer.cost_nano
        record.finish_reason = completion.finish_reason
        record.upstream_request_id = completion.upstream_request_id
        if self._keep_prompts:
            record.prompt = "\n".join(message.content for message in request.messages)
            record.response = completion.text
        return answer
