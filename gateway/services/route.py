"""A request's way over the targets that may answer it: which is next, and when that is enough."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, groupby

from gateway.concurrency import HungUp, wait
from gateway.config.settings import ModelSettings, RetrySettings
from gateway.errors import (
    ClientLeft,
    CredentialRested,
    GatewayError,
    NoProviderAvailable,
    StaleConnection,
    UpstreamTimeout,
)
from gateway.routing.affinity import conversation, ranked
from gateway.routing.budget import RetryBudget
from gateway.routing.router import Candidate
from gateway.routing.targets import Place, Targets
from gateway.routing.unavailable import Unavailable
from gateway.services.exchange import Exchange
from gateway.telemetry.metrics import Metrics

MOST_ATTEMPTS = 5  # of one request, over all its targets
LONGEST_PAUSE = 5.0  # seconds of a Retry-After that a request waits

_FIRST_PAUSE = 0.1  # seconds, doubled by each failure; what is waited is a random part of it
_AT_ONCE = 1.0  # seconds in which a connection that broke was no use for anybody
_SILENCE = 10.0  # seconds after which whoever breaks off may have done the work

_random = random.Random()  # noqa: S311 - spreads load, guards nothing


@dataclass(frozen=True, slots=True)
class Routing:
    """What all routes share.

    Attributes:
        targets: who takes calls now.
        budget: how many retries there may be.
        retry: how often a target is tried.
        metrics: counts retries and fallbacks.
    """

    targets: Targets
    budget: RetryBudget
    retry: RetrySettings
    metrics: Metrics


@dataclass(slots=True)
class Step:
    """One attempt: at a target of the route, where it has its place.

    Attributes:
        error: what became of it, for whoever makes the next step.
        began: monotonic seconds.
    """

    candidate: Candidate
    place: Place
    began: float
    error: GatewayError | None = None


class Route:
    """One request's way.

    Args:
        routing: what it shares with others.
        exchange: the request.
        candidates: who may answer it.
        model: how calls of the model are made that it asked for.
    """

    def __init__(self, routing: Routing, exchange: Exchange, candidates: list[Candidate], model: ModelSettings) -> None:
        self._routing = routing
        self._exchange = exchange
        self._model = model
        record = exchange.record
        self._conversation = conversation(exchange.caller.tenant, record.session_id, exchange.request, model.affinity)
        self._ranked = [
            candidate
            for _, tier in groupby(candidates, key=lambda candidate: candidate.tier)
            for candidate in ranked(tier, lambda candidate: candidate.weight, self._conversation)
        ]
        self._made = 0
        self._ended = False
        self._soonest = math.inf  # seconds until one that takes no call now may
        self._failure: GatewayError | None = None

    def steps(self) -> Iterator[Step]:
        """Each next step, as long as it may help; whoever makes one notes its error. Where there are none but
        credentials that rest, these have to do, unless the provider itself has asked for it."""
        self._routing.budget.request()
        for rested in (True, False):
            for number, candidate in enumerate(self._ranked, 1):
                yield from self._at(candidate, rested, len(self._ranked) - number)
                if self._ended:
                    return
            if self._made:
                return

    def failure(self) -> GatewayError:
        """Why there is no further step; told once."""
        failure, self._failure = self._failure, None
        return failure or NoProviderAvailable(retry_after=max(1, math.ceil(self._soonest)))

    def _at(self, candidate: Candidate, rested: bool, others: int) -> Iterator[Step]:
        """The steps at one target, which leave one to each of the `others` after it."""
        most = max(1, min(self._routing.retry.attempts, MOST_ATTEMPTS - self._made - others))
        for tries in count(1):
            try:
                place = self._routing.targets.enter(
                    candidate.target, self._exchange.caller.tenant, self._conversation, rested and tries == 1
                )
            except Unavailable as closed:
                self._soonest = min(self._soonest, closed.seconds)
                self._tell(candidate, closed.why)
                return
            if tries > 1:
                self._routing.metrics.retry()
            elif candidate is not self._ranked[0]:
                self._routing.metrics.fallback()
            self._made += 1
            step = Step(candidate, place, time.monotonic())
            yield step
            error, step.error = step.error or GatewayError(), None
            # without what it remembers of frames, which know this route: all that they hold would stay for long
            self._failure = error.with_traceback(None)
            self._tell(candidate, error.detail or error.code)
            if isinstance(error, StaleConnection):
                most = max(most, 2)  # nobody has had the request, however often the operator wants it tried
            self._ended = self._made == MOST_ATTEMPTS or not self._may_go_on(error, time.monotonic() - step.began)
            if self._ended or tries == most or not self._again(step, error, tries):
                return

    def _may_go_on(self, error: GatewayError, seconds: float) -> bool:
        """Whether another attempt may help after one that failed so late, and does not buy twice what was only slow."""
        deadline = self._exchange.deadline
        if deadline is not None and time.monotonic() >= deadline:
            return False
        if error.may_be_billed and (isinstance(error, UpstreamTimeout) or (error.retryable and seconds > _SILENCE)):
            return self._model.retry_after_silence
        return error.retryable

    def _again(self, step: Step, error: GatewayError, tries: int) -> bool:
        """Whether the same target is tried again; waits until it may be."""
        pause = _FIRST_PAUSE * 2 ** (tries - 1) * _random.random()
        if isinstance(error, CredentialRested) and self._routing.targets.has_another_key(step.place):
            pause = 0.0
        elif not error.transient or (error.may_be_billed and time.monotonic() - step.began > _AT_ONCE):
            return False
        elif error.retry_after:
            pause += error.retry_after
        until, deadline = time.monotonic() + pause, self._exchange.deadline
        if pause > LONGEST_PAUSE + _FIRST_PAUSE * 2**tries or (deadline is not None and until >= deadline):
            return False
        return self._routing.budget.take() and self._waited(pause)

    def _waited(self, seconds: float) -> bool:
        """Wait. Raises ClientLeft."""
        began = time.monotonic()
        try:
            wait(seconds, self._exchange.client)
        except HungUp:
            raise ClientLeft(may_be_billed=False) from None
        finally:
            self._exchange.record.waited_seconds += time.monotonic() - began
        return True

    def _tell(self, candidate: Candidate, why: str) -> None:
        self._exchange.record.tried.append(f"{candidate.target}: {why}")
