"""One call of a provider: held before its dispatch, settled once after it, whatever comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from gateway.errors import GatewayError, NoProviderAvailable, UpstreamError, UpstreamTimeout
from gateway.model import Answer, Completion
from gateway.providers.base import Call, Provider
from gateway.routing.targets import Targets
from gateway.routing.unavailable import Unavailable
from gateway.services.books import Books, Entry
from gateway.services.exchange import Exchange
from gateway.services.route import Step
from gateway.telemetry.logs import log_failed_attempt

T = TypeVar("T")


class Attempt:
    """A call of a provider. It is held, sent and closed, each once, in this order.

    Args:
        books: where it is written down.
        targets: where its place is given back.
        exchange: the request that it is made for.
        step: where it is made.
        provider: who is to answer there.
        call_id: the request's, ours.
        number: 1 for the first attempt of a request.
    """

    def __init__(
        self,
        books: Books,
        targets: Targets,
        exchange: Exchange,
        step: Step,
        provider: Provider,
        call_id: str,
        number: int,
    ) -> None:
        self._books = books
        self._targets = targets
        self._exchange = exchange
        self._provider = provider
        self._step = step
        self._target = step.candidate.target
        self._entry = Entry(call_id, number, step.candidate)
        self._call: Call
        self._sent = self._counted = time.monotonic()

    def hold(self) -> None:
        """Hold what it may cost. Raises what `Books.hold` does."""
        record = self._exchange.record
        record.model, record.provider = self._target.model, self._target.provider
        try:
            self._books.hold(self._exchange, self._entry, lambda: self._targets.aside(self._step.place))
        except BaseException as error:
            self._targets.leave(self._step.place, None, sent=False)
            if isinstance(error, Unavailable):
                raise NoProviderAvailable(retry_after=1) from None
            raise
        record.attempts = self._entry.number
        self._call = Call(
            self._entry.call_id,
            self._entry.number,
            self._exchange.deadline,
            self._exchange.client,
            self._entry.bound.cap,
            self._step.place.key,
        )
        self._sent = self._counted = time.monotonic()

    def send(self, send: Callable[..., T]) -> T:
        """Have the provider answer by `send`, one of its methods. A failure ends the attempt and is raised."""
        try:
            answer = send(self._provider, self._exchange.request, self._target.model, self._call)
            self._targets.answered(self._step.place)
            return answer
        except GatewayError as error:
            if isinstance(error, UpstreamTimeout) and self._call.expired:  # whose time it was, the provider cannot tell
                error.message = f"The provider {self._provider.name!r} had not answered within x-gateway-timeout-ms."
                error.detail = "no answer within the client's own time"
            self._exchange.record.upstream_request_id = error.upstream_request_id
            self._lose(error, error.may_be_billed)
            raise
        except BaseException:
            self._lose(GatewayError(), may_be_billed=True)
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
        if isinstance(error, UpstreamError | UpstreamTimeout):  # one without an answer the route tells
            self._exchange.record.tried.append(f"{self._target}: {error.detail or error.code}")
        try:
            self._end(error)
            return self._books.settle(self._exchange, self._entry, completion, error)
        except Exception:  # a hold without a settlement would stand as long as this process
            self._books.lose(self._exchange, self._entry, GatewayError(), may_be_billed=True)
            raise

    def _lose(self, error: GatewayError, may_be_billed: bool) -> None:
        """Settle a call without an answer."""
        try:
            self._end(error)
        finally:
            self._books.lose(self._exchange, self._entry, error, may_be_billed, given_up=self._call.expired)

    def _end(self, error: GatewayError | None) -> None:
        self._count_time()
        outcome, seconds = error.code if error else "success", time.monotonic() - self._sent
        self._books.metrics.attempt(self._target.provider, self._target.model, outcome, seconds)
        if isinstance(error, UpstreamError | UpstreamTimeout):
            log_failed_attempt(self._exchange.record, error.code, error.detail)
        is_well = error is None or error.is_well
        if error and self._call.expired:  # a client's own deadline says nothing about the provider
            is_well = None
        self._targets.leave(self._step.place, is_well, error)

    def _count_time(self) -> None:
        """Take the time since the last look as spent on the provider."""
        now = time.monotonic()
        self._exchange.record.waited_seconds += now - self._counted
        self._counted = now
