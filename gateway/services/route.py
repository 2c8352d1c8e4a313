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
    DeadlinePassed,
    GatewayError,
    InvalidField,
    NoProviderAvailable,
    StaleConnection,
    UpstreamTimeout,
)
from gateway.providers.base import Provider
from gateway.providers.fitting import fitted
from gateway.routing.affinity import conversation, ranked
from gateway.routing.budget import RetryBudget
from gateway.routing.router import Candidate
from gateway.routing.targets import Place, Targets
from gateway.routing.unavailable import Resting, Unavailable
from gateway.services.exchange import Exchange
from gateway.telemetry.metrics import Metrics

MOST_ATTEMPTS = 5  # of one request, over all its targets
MOST_AT_TARGET = 3  # with its other credentials, which are tried however often the operator wants retries
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
        self._rested_in = math.inf  # the same of those whose credentials only rest
        self._failure: GatewayError | None = None

    def steps(self) -> Iterator[Step]:
        """Each next step, as long as it may help; whoever makes one notes its error. Where there are none but
        credentials that rest, these have to do, unless the provider itself has asked for it; then they are waited for,
        if it is for a moment."""
        self._routing.budget.request()
        if self._is_late(time.monotonic()):
            self._failure = DeadlinePassed()
            return
        yield from self._at_each(rested=True)
        if not self._made:
            yield from self._at_each(rested=False)
        if not self._made and self._rested():
            yield from self._at_each(rested=True)

    def fitted(self, step: Step, provider: Provider) -> Exchange:
        """The exchange with the request as the step's provider can have it. Raises InvalidField where that has nothing
        like it or, of one that stands in for others, why these do not answer, which says more."""
        refuse_hints, lenient = self._model.on_unsupported == "refuse", step.candidate is not self._ranked[0]
        try:
            request, self._exchange.record.dropped = fitted(
                self._exchange.request, provider, step.candidate.target.model, refuse_hints, lenient
            )
        except InvalidField as error:
            self._routing.targets.leave(step.place, None, sent=False)
            raise (self.failure() if lenient else error) from None
        return self._exchange if request is self._exchange.request else self._exchange._replace(request=request)

    def failure(self) -> GatewayError:
        """Why there is no further step; told once."""
        failure, self._failure = self._failure, None
        return failure or NoProviderAvailable(retry_after=max(1, math.ceil(self._soonest)))

    def _at_each(self, rested: bool) -> Iterator[Step]:
        for number, candidate in enumerate(self._ranked, 1):
            yield from self._at(candidate, rested, len(self._ranked) - number)
            if self._ended:
                return

    def _at(self, candidate: Candidate, rested: bool, others: int) -> Iterator[Step]:
        """The steps at one target, which leave one to each of the `others` after it."""
        room, is_retry = max(1, MOST_ATTEMPTS - self._made - others), False
        most = min(self._routing.retry.attempts, room)
        for tries in count(1):
            try:
                place = self._routing.targets.enter(
                    candidate.target, self._exchange.caller.tenant, self._conversation, rested and tries == 1
                )
            except Unavailable as closed:
                self._soonest = min(self._soonest, closed.seconds)
                if isinstance(closed, Resting):
                    self._rested_in = min(self._rested_in, closed.seconds)
                self._tell(candidate, closed.why, once=True)
                return
            if is_retry:
                self._routing.metrics.retry()
            elif tries > 1 or candidate is not self._ranked[0]:
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
            if self._ended:
                return
            is_retry = not self._has_another_key(step, error)
            if tries >= (most if is_retry else min(MOST_AT_TARGET, room)):
                return
            if is_retry and not self._again(step, error, tries):
                return

    def _may_go_on(self, error: GatewayError, seconds: float) -> bool:
        """Whether another attempt may help after one that failed so late, and does not buy twice what was only slow."""
        if self._is_late(time.monotonic()):
            return False
        if error.may_be_billed and (isinstance(error, UpstreamTimeout) or (error.retryable and seconds > _SILENCE)):
            return self._model.retry_after_silence
        return error.retryable

    def _again(self, step: Step, error: GatewayError, tries: int) -> bool:
        """Whether the same target is tried again; waits until it may be."""
        pause = _FIRST_PAUSE * 2 ** (tries - 1) * _random.random()
        if not error.transient or (error.may_be_billed and time.monotonic() - step.began > _AT_ONCE):
            return False
        if error.retry_after:
            pause += error.retry_after
        if pause > LONGEST_PAUSE + _FIRST_PAUSE * 2**tries or self._is_late(time.monotonic() + pause):
            return False
        if not self._routing.budget.take():
            self._tell(step.candidate, "no retry, their budget is spent")
            return False
        return self._waited(pause)

    def _has_another_key(self, step: Step, error: GatewayError) -> bool:
        """Whether the failure was the credential's alone and there is another one: that is no retry, but as good as
        another target."""
        return isinstance(error, CredentialRested) and self._routing.targets.has_another_key(step.place)

    def _rested(self) -> bool:
        """Whether a credential has come back from a short rest, which is waited for; not all go on at once."""
        pause = self._rested_in + _random.random() * min(1.0, self._rested_in)
        if self._rested_in > LONGEST_PAUSE or self._is_late(time.monotonic() + pause):
            return False
        return self._waited(pause)

    def _is_late(self, when: float) -> bool:
        return self._exchange.deadline is not None and when >= self._exchange.deadline

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

    def _tell(self, candidate: Candidate, why: str, once: bool = False) -> None:
        told = f"{candidate.target}: {why}"
        if not once or told not in self._exchange.record.tried:
            self._exchange.record.tried.append(told)
