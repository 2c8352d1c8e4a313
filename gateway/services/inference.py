"""The spine: one request walks this one way, whatever dialect it came in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from gateway.cache.responses import ResponseCache, Slot
from gateway.concurrency import Task
from gateway.errors import GatewayError, InvalidField
from gateway.model import Answer, Completion, new_id
from gateway.providers.base import Provider
from gateway.routing.router import Candidate, Router
from gateway.services.access import check_access
from gateway.services.attempt import Attempt
from gateway.services.books import Books
from gateway.services.exchange import Exchange
from gateway.services.relay import Opened, Relay, Writer
from gateway.services.route import Route, Routing
from gateway.wire.replay import Replay

T = TypeVar("T")


class Inference:
    """Answers requests to models.

    Args:
        router: finds the targets for a model's name.
        providers: the configured providers by name.
        cache: answers that were bought before.
        books: where attempts are written down.
        routing: which target is tried next.
    """

    def __init__(
        self,
        router: Router,
        providers: Mapping[str, Provider],
        cache: ResponseCache,
        books: Books,
        routing: Routing,
    ) -> None:
        self._router = router
        self._providers = providers
        self._cache = cache
        self._books = books
        self._routing = routing

    def complete(self, exchange: Exchange) -> Answer:
        """Get a whole answer: resolve the model, look in the cache, then try its targets until one answers.

        Raises:
            GatewayError: the last attempt's failure; that no target takes a call; or that a limit has no room.
        """
        candidates, slot = self._look_up(exchange)
        if kept := self._kept(exchange, candidates, slot):
            return kept
        attempt, completion = self._attempt_each(exchange, candidates, lambda provider, *call: provider.complete(*call))
        return self._close(attempt, slot, completion)

    def stream(self, exchange: Exchange, writer: Writer) -> Relay:
        """Get the answer as it is made, on the same way.

        Args:
            exchange: the request.
            writer: writes the client's dialect.

        Raises:
            GatewayError: before anything was sent to a provider; what fails later, the relay tells.
        """
        candidates, slot = self._look_up(exchange)

        def open_stream() -> Opened:
            if kept := self._kept(exchange, candidates, slot):
                return Opened(Replay(kept.completion), lambda _completion, _error: kept)
            attempt, stream = self._attempt_each(exchange, candidates, lambda provider, *call: provider.stream(*call))
            exchange.record.upstream_request_id = stream.upstream_request_id
            return Opened(stream, lambda completion, error: self._close(attempt, slot, completion, error))

        return Relay(Task(open_stream), writer, exchange)

    def _look_up(self, exchange: Exchange) -> tuple[list[Candidate], Slot]:
        """Who may answer, in which order, and where the answer is kept."""
        request, record = exchange.request, exchange.record
        record.user_id, record.requested_model = request.user_id, request.model and request.model[:256]
        record.stream = request.stream
        check_access(exchange.caller, self._router, request.model)
        candidates = self._router.candidates(request.model)
        if request.unknown and self._router.settings(request.model).strict:
            name = request.unknown[0][:64]
            message = f"{name!r} is not a field of this request, and this model takes no others."
            raise InvalidField(message, param=name, code="unknown_parameter")
        slot = self._cache.slot(exchange.caller.tenant, map(str, candidates), request, exchange.policy)
        record.cache = "miss" if slot.policy.read else "bypass"
        return candidates, slot

    def _kept(self, exchange: Exchange, candidates: list[Candidate], slot: Slot) -> Answer | None:
        kept = slot.get()
        if kept:
            exchange.record.cache = "hit"
            bought_from = next(
                (candidate for candidate in candidates if candidate.target == kept.target), candidates[0]
            )
            self._books.give_again(exchange, new_id(), bought_from, kept)
        return kept

    def _attempt_each(
        self, exchange: Exchange, candidates: list[Candidate], send: Callable[..., T]
    ) -> tuple[Attempt, T]:
        """Try one candidate after the other; the attempt that succeeded is still to be closed."""
        call_id = new_id()
        route = Route(self._routing, exchange, candidates, self._router.settings(exchange.request.model))
        for number, step in enumerate(route.steps(), 1):
            provider = self._providers[step.candidate.target.provider]
            own = route.fitted(step, provider)
            attempt = Attempt(self._books, self._routing.targets, own, step, provider, call_id, number)
            attempt.hold()
            try:
                return attempt, attempt.send(send)
            except GatewayError as error:
                step.error = error
        raise route.failure()

    def _close(self, attempt: Attempt, slot: Slot, completion: Completion, error: GatewayError | None = None) -> Answer:
        """Settle the attempt that answered, and keep the answer if it is whole."""
        answer = attempt.close(completion, error)
        if error is None:
            slot.put(answer)
        return answer
