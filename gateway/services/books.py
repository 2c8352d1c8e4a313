"""Where every attempt is written down: in the ledger, in the request's record, in the metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from gateway.accounting.bounds import Bound, Bounds
from gateway.accounting.costs import Costs
from gateway.accounting.entries import Claim, Overrun
from gateway.accounting.ledger import Ledger
from gateway.accounting.prices import FREE, written
from gateway.accounting.tokens import TokenCounter
from gateway.admission.limiter import Admission
from gateway.errors import ClientLeft, GatewayError, LedgerUnavailable, StaleConnection
from gateway.model import Answer, Completion, Usage
from gateway.policy.limits import Limit
from gateway.policy.subjects import Payer
from gateway.routing.router import Candidate
from gateway.services.exchange import Exchange
from gateway.services.holds import Hold, Holds
from gateway.telemetry.logs import log_overrun, log_suspect_usage, log_unsettled
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import RequestRecord
from gateway.wire.openai import prompt

log = logging.getLogger(__name__)

_NOTHING = Bound(0, 0, FREE)
_NOT_ADMITTED = Admission(("", ""))
_NO_HOLD = Hold(_NOTHING, _NOT_ADMITTED)


@dataclass(slots=True)
class Entry:
    """One attempt in the books.

    Attributes:
        number: of the attempt; 0 where nothing is bought.
        held: what is held for it.
    """

    call_id: str
    number: int
    candidate: Candidate
    held: Hold = _NO_HOLD

    @property
    def bound(self) -> Bound:
        return self.held.bound


@dataclass(frozen=True, slots=True)
class Books:
    """The accounts of this process.

    Attributes:
        ledger: what was bought.
        holds: what may be spent.
        bounds: the most that a request can take.
        costs: knows prices.
        tokens: counts where a provider does not.
        metrics: counts attempts.
        keep_prompts: record prompts and answers for the log.
    """

    ledger: Ledger
    holds: Holds
    bounds: Bounds
    costs: Costs
    tokens: TokenCounter
    metrics: Metrics
    keep_prompts: bool

    def hold(self, exchange: Exchange, entry: Entry, aside: Callable[[], AbstractContextManager[object]]) -> None:
        """Hold what an attempt may cost.

        Args:
            exchange: the request.
            entry: the attempt.
            aside: a block in which it waits for a limit, and others may have its place.

        Raises:
            RateLimited, InsufficientQuota, BudgetHeld: a limit has no room for it.
            InvalidField: a hard limit bears on it, and it has no bound or no price.
            LedgerUnavailable: nothing can be written down.
        """
        request, target = exchange.request, entry.candidate.target
        price = self.costs.price(target, entry.candidate.alias)
        asked, capped = self.bounds.of(request, target, entry.candidate.alias, price)
        claim = self._claim(exchange, entry, asked, capped)

        def exactly() -> Bound | None:
            return self.bounds.exactly(capped, request, target)

        entry.held = self.holds.take(exchange, claim, lambda held: self.ledger.hold(held, exactly), exactly, aside)

    def settle(self, exchange: Exchange, entry: Entry, completion: Completion, error: GatewayError | None) -> Answer:
        """Write down an answer, or as much as came of it; the answer with its price."""
        usage = self._usage(exchange, entry, completion)
        allowed = entry.bound.holds(usage)
        unlikely = completion.misreported or (completion.usage is not None and usage.source != "provider")
        suspect = unlikely or (allowed != usage and usage.source == "provider")
        if suspect:
            self.metrics.suspect(entry.candidate.target)
            log_suspect_usage(exchange.record, completion.usage, allowed)
        price, target = entry.bound.price, entry.candidate.target
        answer = Answer(completion, allowed, price.cost(allowed) if price else None, target)
        if price is None:
            self.costs.tell_unpriced(target)
        self.note(exchange, answer)
        self._write(exchange, entry, allowed, answer.cost_nano, error, suspect)
        return answer

    def lose(
        self, exchange: Exchange, entry: Entry, error: GatewayError, may_be_billed: bool, given_up: bool = False
    ) -> None:
        """Write down an attempt without an answer: at its bound where the provider may bill it, and nobody knows how
        much. A provider mostly stops where a client leaves or has `given_up`, and what that is written down at is not
        for the client to choose; a stale connection has mostly been closed before. A hard limit rests on neither."""
        if may_be_billed and not entry.bound.strict:
            if given_up or isinstance(error, ClientLeft):
                self.settle(exchange, entry, Completion(b""), error)
                return
            may_be_billed = not isinstance(error, StaleConnection)
        usage, cost = (entry.bound.usage, entry.bound.nano) if may_be_billed else (Usage(0, 0, source="counted"), 0)
        exchange.record.usage, exchange.record.cost_nano = (usage, cost) if may_be_billed else (None, None)
        self._write(exchange, entry, usage, cost, error)

    def give_again(self, exchange: Exchange, call_id: str, candidate: Candidate, kept: Answer) -> None:
        """Write down an answer that was bought earlier: a request like any other, which takes nothing else.

        Raises:
            RateLimited, InsufficientQuota, BudgetHeld: a limit on requests has no room for it.
            LedgerUnavailable: nothing can be written down.
        """
        entry = Entry(call_id, 0, candidate)
        price = self.costs.price(kept.target, candidate.alias)
        saved = price.cost(replace(kept.usage, source="provider")) if price else None
        bought = {"finish_reason": _finish(kept), "upstream_request_id": kept.completion.upstream_request_id}

        def give(claim: Claim) -> Bound:
            ending = {**_ending(exchange.record, None), **bought, "cached": True, "saved_nano": saved}
            return self.ledger.give(claim, kept.usage, ending)

        held = self.holds.take(exchange, self._claim(exchange, entry, _NOTHING, _NOTHING), give)
        self.note(exchange, kept)
        self.holds.release(exchange.record, held, 0)

    def note(self, exchange: Exchange, answer: Answer) -> None:
        """Record what came of a request."""
        record, completion, target = exchange.record, answer.completion, answer.target
        record.model, record.provider, record.cached = target.model, target.provider, answer.cached
        record.usage, record.cost_nano = answer.usage, answer.cost_nano
        record.finish_reason = _finish(answer)
        record.upstream_request_id = completion.upstream_request_id
        if self.keep_prompts:
            record.prompt = "\n".join(prompt(exchange.request)[0])
            record.response = completion.text

    def _claim(self, exchange: Exchange, entry: Entry, asked: Bound, capped: Bound) -> Claim:
        record, target, names = exchange.record, entry.candidate.target, entry.candidate.names
        payer = Payer(exchange.caller.tenant, exchange.caller.key_id, exchange.request.user_id or "", names)
        facts = {
            "request_id": record.request_id,
            "trace_id": record.trace_id,
            "method": record.method,
            "path": record.path,
            "requested_model": record.requested_model,
            "stream": record.stream,
            "session_id": record.session_id,
            "client": record.client,
            "client_address": record.client_address,
            "tenant": payer.tenant,
            "key_id": payer.key_id,
            "user_id": payer.user_id,
            "names": " ".join(names),
            "model": target.model,
            "provider": target.provider,
            "prices": written(capped.price) if capped.price else None,
        }
        return Claim(entry.call_id, entry.number, "", payer, facts, asked, capped)

    def _usage(self, exchange: Exchange, entry: Entry, completion: Completion) -> Usage:
        """What the provider says that it took, else what we count, and the bound where it is still at work."""
        if completion.unfinished:
            return entry.bound.usage
        reported = completion.usage
        if reported and not (completion.generated and not reported.completion_tokens):
            return reported  # text that took no tokens: it did not look
        request, target = exchange.request, entry.candidate.target
        counted = Usage(
            prompt_tokens=self.tokens.count_prompt(request, target.model),
            completion_tokens=self.tokens.count_generated(completion, target.model),
            source="counted",
        )
        if begun := completion.begun:
            counted = replace(begun, completion_tokens=counted.completion_tokens, source="counted")
        return self.bounds.count_no_less(entry.bound, request, target, counted) if entry.bound.strict else counted

    def _write(
        self,
        exchange: Exchange,
        entry: Entry,
        usage: Usage,
        cost: int | None,
        error: GatewayError | None,
        suspect: bool = False,
    ) -> None:
        """Settle: at once where the next call may need what this one leaves, else behind the answer."""
        record = exchange.record
        settlement = entry.call_id, entry.number, usage, cost, _ending(record, error) | {"usage_suspect": suspect}

        def told(overruns: Iterable[Overrun], failure: Exception | None = None) -> None:
            if isinstance(failure, LedgerUnavailable):
                log_unsettled(record, failure.detail)  # it is owed, and will be
            elif failure:
                self._give_up(record, entry, failure)
            for overrun in overruns:
                tell_overrun(overrun.limit, overrun.instance, overrun.spent)

        try:
            if entry.bound.scarce:
                told(self.ledger.settle(*settlement))
            else:
                self.ledger.settle_later(*settlement, told)
        except LedgerUnavailable as failure:
            told([], failure)
        finally:
            self.holds.release(record, entry.held, usage.prompt_tokens + usage.completion_tokens)
            entry.held = Hold(entry.bound, _NOT_ADMITTED)  # once, whatever fails after it

    def _give_up(self, record: RequestRecord, entry: Entry, failure: Exception) -> None:
        """Settle at its bound what cannot be written down as it was: a hold would stand as long as this process."""
        log.error("unhandled exception", exc_info=failure, extra={"request_id": record.request_id})
        bound, ending = entry.bound, {"error_code": GatewayError.code}
        self.ledger.settle_later(entry.call_id, entry.number, bound.usage, bound.nano, ending, _told_no_more)


def _told_no_more(overruns: Iterable[Overrun], failure: Exception | None) -> None:
    if failure:
        log.error("a hold cannot be settled, and stands until this process ends", exc_info=failure)


def _ending(record: RequestRecord, error: GatewayError | None) -> dict[str, Any]:
    """What a row says of how its call ended, by column."""
    return {
        "status": error.status if error else 200,
        "duration_ms": record.duration_ms,
        "overhead_ms": record.overhead_ms,
        "ttft_ms": record.ttft_ms,
        "finish_reason": record.finish_reason,
        "upstream_request_id": record.upstream_request_id,
        "error_code": error.code if error else None,
    }


def _finish(answer: Answer) -> str | None:
    """Why the first of its choices ended, in the provider's word."""
    return next(iter(answer.completion.finish_reasons), None)


def tell_overrun(limit: Limit, instance: str, spent: int) -> None:
    """Tell the operator of a limit that was passed, as those may be that are not hard."""
    log_overrun(limit.subject.named(instance), limit.rate, limit.write(limit.value), limit.write(spent))
