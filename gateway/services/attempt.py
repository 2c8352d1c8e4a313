"""One call of a provider, from its dispatch to its one settlement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.accounting.costs import Costs
from gateway.accounting.tokens import TokenCounter
from gateway.errors import ClientLeft, GatewayError, UpstreamError, UpstreamTimeout
from gateway.model import Answer, Completion, Usage
from gateway.providers.base import Call, Provider
from gateway.routing.router import Candidate
from gateway.services.exchange import Exchange
from gateway.services.health import Health
from gateway.telemetry.logs import log_failed_attempt
from gateway.telemetry.metrics import Metrics
from gateway.wire.openai import prompt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Books:
    """Where an attempt is written down.

    Attributes:
        costs: prices answers.
        tokens: counts where a provider does not.
        metrics: counts attempts.
        health: is told how each provider's latest call ended.
        keep_prompts: record prompts and answers for the log.
    """

    costs: Costs
    tokens: TokenCounter
    metrics: Metrics
    health: Health
    keep_prompts: bool

    def write(self, exchange: Exchange, answer: Answer) -> Answer:
        """Record what came of a request."""
        record, completion, target = exchange.record, answer.completion, answer.target
        record.model, record.provider, record.cached = target.model, target.provider, answer.cached
        record.usage, record.cost_nano = answer.usage, answer.cost_nano
        record.finish_reason = next(iter(completion.finish_reasons), None)
        record.upstream_request_id = completion.upstream_request_id
        if self.keep_prompts:
            record.prompt = "\n".join(prompt(exchange.request)[0])
            record.response = completion.text
        return answer


class Attempt:
    """A call of `candidate`'s provider. It is sent once, and closed once, whatever comes of it.

    Args:
        books: where it is written down.
        exchange: the request that it is made for.
        candidate: who is to answer.
        call: the call's id and bounds.
    """

    def __init__(self, books: Books, exchange: Exchange, candidate: Candidate, call: Call) -> None:
        self._books = books
        self._exchange = exchange
        self._candidate = candidate
        self._call = call
        self._sent = self._counted = time.monotonic()

    def send(self, provider: Provider, send: Callable[..., T]) -> T:
        """Have `provider` answer by `send`, one of its methods. A failure ends the attempt and is raised."""
        target, record = self._candidate.target, self._exchange.record
        record.model, record.provider = target.model, target.provider
        try:
            return send(provider, self._exchange.request, target.model, self._call)
        except ClientLeft as error:
            self.close(Completion(b""), error)  # the prompt was sent
            raise
        except GatewayError as error:
            record.upstream_request_id = error.upstream_request_id
            self._end(error)
            raise
        finally:
            self._count_time()

    def close(self, completion: Completion, error: GatewayError | None = None) -> Answer:
        """Settle what was delivered.

        Args:
            completion: the answer, or as much as came of it.
            error: what ended it early, if anything did.

        Returns:
            The answer with its price.
        """
        self._end(error)
        return self._books.write(self._exchange, self._priced(completion))

    def _end(self, error: GatewayError | None) -> None:
        self._count_time()
        target, outcome = self._candidate.target, error.code if error else "success"
        self._books.metrics.attempt(target.provider, target.model, outcome, time.monotonic() - self._sent)
        if error is None:
            self._books.health.provider(target.provider, "ok")
        elif isinstance(error, UpstreamError | UpstreamTimeout):
            log_failed_attempt(self._exchange.record, error.code, error.detail)
            if not self._call.expired:  # a client's own deadline says nothing about the provider
                self._books.health.provider(target.provider, "down")

    def _count_time(self) -> None:
        """Take the time since the last look as spent on the provider."""
        now = time.monotonic()
        self._exchange.record.waited_seconds += now - self._counted
        self._counted = now

    def _priced(self, completion: Completion) -> Answer:
        target, tokens = self._candidate.target, self._books.tokens
        reported = completion.usage
        if reported and completion.generated and not reported.completion_tokens:
            reported = None  # text that took no tokens: it did not look
        usage = reported or Usage(
            prompt_tokens=tokens.count_prompt(self._exchange.request, target.model),
            completion_tokens=tokens.count_generated(completion, target.model),
            source="counted",
        )
        return Answer(completion, usage, self._books.costs.of(usage, target, self._candidate.alias), target)
