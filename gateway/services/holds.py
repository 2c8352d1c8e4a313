"""What a call holds before it is sent: its share of the counters' limits, then of the ledger's; both or neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Claim
from gateway.accounting.ledger import Ledger
from gateway.admission.limiter import Admission, Bearing, Limiter, NoRoom
from gateway.errors import GatewayError
from gateway.policy.refusals import refusal
from gateway.policy.subjects import Payer
from gateway.telemetry.metrics import NONE
from gateway.telemetry.record import RequestRecord


@dataclass(frozen=True, slots=True)
class Hold:
    """What one attempt holds."""

    bound: Bound
    admission: Admission


@dataclass(frozen=True, slots=True)
class Holds:
    """Takes and gives back.

    Attributes:
        limiter: per second to hour, and in flight.
        ledger: per day and longer, and money.
        help_url: where users are sent whose limit is spent, or None.
        refused: is told of each refusal by a limit: the tenant, the unit and the period.
    """

    limiter: Limiter
    ledger: Ledger
    help_url: str | None
    refused: Callable[[str, str, str], None]

    def take(self, record: RequestRecord, claim: Claim, exactly: Callable[[], Bound | None] = lambda: None) -> Hold:
        """Hold what an attempt may take.

        Args:
            record: is told how the limits stand.
            claim: what it asks for.
            exactly: a tighter bound under a hard limit, asked for only where it matters; None where there is none.

        Raises:
            RateLimited, InsufficientQuota, BudgetHeld: a limit has no room for it.
            InvalidField: a hard limit bears on it, and it has no bound or no price.
            LedgerUnavailable: nothing can be written down.
        """
        try:
            claim, admission = self._admitted(record, claim, exactly)
            try:
                bound = self.ledger.hold(claim, exactly)
            except BaseException:
                self.limiter.undo(admission)
                raise
        except GatewayError as error:
            if error.limit:
                self._count(record, claim.payer, error.limit)
            raise
        record.rates = [*admission.rates, *bound.rates]
        return Hold(bound, admission)

    def release(self, record: RequestRecord, hold: Hold, tokens: int) -> None:
        """Give back what an attempt that has ended has not taken of its tokens. What it held in the ledger is settled
        there."""
        record.rates = [replace(rate, taken=tokens) if rate.unit == "tokens" else rate for rate in record.rates]
        self.limiter.release(hold.admission, tokens)

    def _admitted(
        self, record: RequestRecord, claim: Claim, exactly: Callable[[], Bound | None]
    ) -> tuple[Claim, Admission]:
        """The claim with the bound that the limits make of it, and what is taken of them."""
        bearing = self.limiter.bearing(claim.payer)
        strict = any(limit.unit == "tokens" and limit.mode == "hard" for limit, _ in bearing)
        if strict:
            if claim.capped.flaw:
                raise claim.capped.flaw
            claim = replace(claim, asked=claim.capped)
        try:
            try:
                return claim, self._admit(bearing, claim)
            except NoRoom as refused:
                exact = exactly() if strict and refused.shortage.limit.unit == "tokens" else None
                if exact is None:
                    raise
            claim = replace(claim, asked=exact, capped=exact)
            return claim, self._admit(bearing, claim)
        except NoRoom as refused:
            record.rates = refused.rates
            raise refusal(refused.shortage, self.help_url) from None

    def _admit(self, bearing: Bearing, claim: Claim) -> Admission:
        target = f"{claim.facts['provider']}/{claim.facts['model']}"
        return self.limiter.admit(claim.payer, bearing, target, claim.requests, claim.asked.tokens)

    def _count(self, record: RequestRecord, payer: Payer, limit: Mapping[str, Any]) -> None:
        record.limit = f"{limit['subject']} {limit['unit']}" + (f"/{limit['period']}" if limit["period"] else "")
        self.refused(payer.tenant, limit["unit"], limit["period"] or NONE)
