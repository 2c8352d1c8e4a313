"""What a call holds before it is sent: its share of the counters' limits, then of the ledger's; both or neither."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Claim
from gateway.admission.limiter import Admission, Bearing, Limiter, NoRoom
from gateway.concurrency import HungUp, wait
from gateway.errors import BudgetHeld, ClientLeft, GatewayError
from gateway.model import Rate
from gateway.policy.refusals import refusal
from gateway.policy.subjects import Payer
from gateway.services.exchange import Exchange
from gateway.telemetry.metrics import NONE
from gateway.telemetry.record import RequestRecord

_PAUSES = (0.05, 0.25)  # seconds between two looks at what calls in flight hold, drawn at random
_SETTLING = (0.015, 0.06)  # seconds in which what has ended is settled, if need be in a busy worker
_FEW = 8  # calls that wait for it at once


class Hold(NamedTuple):
    """What one attempt holds."""

    bound: Bound
    admission: Admission


@dataclass(frozen=True, slots=True)
class Holds:
    """Takes and gives back.

    Attributes:
        limiter: per second to hour, and in flight.
        help_url: where users are sent whose limit is spent, or None.
        refused: is told of each refusal by a limit: the tenant, the unit and the period.
        wait_seconds: how long a request may wait for limits to have room, in all its attempts together.
    """

    limiter: Limiter
    help_url: str | None
    refused: Callable[[str, str, str], None]
    wait_seconds: float = 0
    _few: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_FEW))

    def take(
        self,
        exchange: Exchange,
        claim: Claim,
        write: Callable[[Claim], Bound],
        exactly: Callable[[], Bound | None] = lambda: None,
        aside: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> Hold:
        """Hold what an attempt may take, if need be after a wait.

        Args:
            exchange: the request; its record is told how the limits stand.
            claim: what it asks for.
            write: holds it in the ledger; raises as this does.
            exactly: a tighter bound under a hard limit, asked for only where it matters; None where there is none.
            aside: a block in which it waits, and others may have what else it has.

        Raises:
            RateLimited, InsufficientQuota, BudgetHeld: a limit has no room for it.
            InvalidField: a hard limit bears on it, and it has no bound or no price.
            LedgerUnavailable: nothing can be written down.
            ClientLeft: while it waited.
        """
        settling = iter(_SETTLING)
        while True:
            try:
                return self._take(exchange.record, claim, write, exactly)
            except NoRoom as refused:
                exchange.record.rates = refused.rates
                error, wait_for = refusal(refused.shortage, self.help_url), refused.wait
            except BudgetHeld as refused:
                if self._settled(exchange, next(settling, 0.0)):
                    continue
                error, wait_for = refused, 0.0
            except GatewayError as refused:
                error, wait_for = refused, math.inf
            pause = wait_for or random.uniform(*_PAUSES)  # noqa: S311 - no secret
            if not self._waited(exchange, pause, aside):
                if error.limit:
                    self._count(exchange.record, claim.payer, error.limit)
                raise error

    def _waited(self, exchange: Exchange, seconds: float, aside: Callable[[], AbstractContextManager[object]]) -> bool:
        """Wait, if the request may do so for so long. Raises ClientLeft."""
        record, now = exchange.record, time.monotonic()
        left = self.wait_seconds - record.limited_seconds
        if exchange.deadline is not None:
            left = min(left, exchange.deadline - now)
        if seconds > left:
            return False
        with aside():
            self._wait(exchange, seconds)
        return True

    def _settled(self, exchange: Exchange, seconds: float) -> bool:
        """Wait until calls that have ended hold nothing any more; whether that may help. Where many wait for it, others
        than those stand in the way, and a refusal must cost little. Raises ClientLeft."""
        if not seconds or not self._few.acquire(blocking=False):
            return False
        try:
            self._wait(exchange, seconds)
        finally:
            self._few.release()
        return True

    def _wait(self, exchange: Exchange, seconds: float) -> None:
        record, began = exchange.record, time.monotonic()
        try:
            wait(seconds, exchange.client)
        except HungUp:
            raise ClientLeft from None
        finally:
            waited = time.monotonic() - began
            record.limited_seconds += waited
            record.waited_seconds += waited

    def _take(
        self,
        record: RequestRecord,
        claim: Claim,
        write: Callable[[Claim], Bound],
        exactly: Callable[[], Bound | None],
    ) -> Hold:
        claim, admission = self._admitted(claim, exactly)
        try:
            bound = write(claim)
        except BaseException as error:
            if isinstance(error, GatewayError) and error.limit:
                record.rates = [_taking(rate, 0) for rate in admission.rates]
            self.limiter.undo(admission)
            raise
        record.rates = [*admission.rates, *bound.rates]
        return Hold(bound, admission)

    def release(self, record: RequestRecord, hold: Hold, tokens: int) -> None:
        """Give back what an attempt that has ended has not taken of its tokens. What it held in the ledger is settled
        there."""
        record.rates = [_taking(rate, tokens) if rate.unit == "tokens" else rate for rate in record.rates]
        self.limiter.release(hold.admission, tokens)

    def _admitted(self, claim: Claim, exactly: Callable[[], Bound | None]) -> tuple[Claim, Admission]:
        """The claim with the bound that the limits make of it, and what is taken of them. Raises NoRoom."""
        bearing = self.limiter.bearing(claim.payer)
        strict = any(limit.unit == "tokens" and limit.mode == "hard" for limit, _ in bearing)
        if strict:
            if claim.capped.flaw:
                raise claim.capped.flaw
            claim = claim.bounded(claim.capped)
        try:
            return claim, self._admit(bearing, claim)
        except NoRoom as refused:
            exact = exactly() if strict and refused.shortage.limit.unit == "tokens" else None
            if exact is None:
                raise
        claim = claim.bounded(exact)
        return claim, self._admit(bearing, claim)

    def _admit(self, bearing: Bearing, claim: Claim) -> Admission:
        target = f"{claim.facts['provider']}/{claim.facts['model']}"
        flies = claim.attempt > 0
        return self.limiter.admit(claim.payer, bearing, target, claim.requests, claim.asked.tokens, flies)

    def _count(self, record: RequestRecord, payer: Payer, limit: Mapping[str, Any]) -> None:
        record.limit = f"{limit['subject']} {limit['unit']}" + (f"/{limit['period']}" if limit["period"] else "")
        self.refused(payer.tenant, limit["unit"], limit["period"] or NONE)


def _taking(rate: Rate, tokens: int) -> Rate:
    return Rate(rate.unit, rate.limit, rate.used, tokens, rate.resets)
