"""What a client is told where a limit has no room for its call; agents show nothing but the sentence."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.errors import BudgetHeld, GatewayError, InsufficientQuota, RateLimited
from gateway.policy.limits import CONCURRENCY, SLIDING, Limit, instant

_SHORTEN = "shorten the prompt or, by max_tokens, the answer"


@dataclass(frozen=True, slots=True)
class Shortage:
    """A limit that has no room for a call.

    Attributes:
        instance: whose balance it is.
        spent, held: of it; what the counters hold is spent.
        amount: what the call asks for.
        resets: when there is room again, in seconds since 1970; None where it never will be or nobody knows.
    """

    limit: Limit
    instance: str
    spent: int
    held: int
    amount: int
    resets: int | None

    @property
    def only_held(self) -> bool:
        """Whether there was room but for calls in flight."""
        return self.spent + self.amount <= self.limit.value

    def has_room_for(self, amount: int) -> bool:
        """Whether so much would fit."""
        return self.spent + self.held + amount <= self.limit.value


def refusal(refused: Shortage, help_url: str | None) -> GatewayError:
    """The error that a refusal becomes.

    Args:
        help_url: where the operator has users ask for more, or None.
    """
    if refused.limit.unit == CONCURRENCY:
        return _too_many_at_once(refused, help_url)
    limit, told = refused.limit, _told(refused)
    message = (
        f"The limit of {_amount(limit, limit.value)} {_per(limit)} for {told['subject']} has no room for this call, "
        f"which may take up to {_amount(limit, refused.amount)}: {_amount(limit, refused.spent)} used"
    )
    message += f", {_amount(limit, refused.held)} held by calls in flight. " if limit.in_ledger else ". "
    if limit.in_ledger and refused.only_held:
        message += "Try again when some of them have ended."
        return BudgetHeld(message + _help(help_url), limit=told, retry_after=1)
    fits = refused.amount <= limit.value
    if not fits:
        less = "" if limit.unit == "requests" else f"{_SHORTEN}, have the operator set max_output_tokens, or "
        message += f"It is more than the whole limit: {less}ask for a larger limit."
    else:
        if limit.unit != "requests" and (left := limit.value - refused.spent - refused.held) > 0:
            message += f"One of up to {_amount(limit, left)} fits now: {_SHORTEN}. "
        message += f"There is more room at {told['reset']}." if told["reset"] else "It does not reset."
    wait = None if refused.resets is None else max(1, math.ceil(refused.resets - time.time()))
    if limit.in_ledger:
        return InsufficientQuota(message + _help(help_url), limit=told, retry_after=wait)
    wait = wait or limit.seconds
    return RateLimited(
        message + _help(help_url), limit=told, retry_after=wait, client_may_retry=None if fits else False
    )


def _too_many_at_once(refused: Shortage, help_url: str | None) -> GatewayError:
    told = _told(refused)
    calls = f"{refused.limit.value} {'call' if refused.limit.value == 1 else 'calls'}"
    message = (
        f"The limit of {calls} at once for {told['subject']} has no room for this one: {refused.spent} in flight. "
    )
    message += "Try again when some of them have ended." if refused.limit.value else "It lets none in."
    helps = None if refused.limit.value else False
    return RateLimited(message + _help(help_url), limit=told, retry_after=1, client_may_retry=helps)


def _told(refused: Shortage) -> dict[str, Any]:
    limit = refused.limit
    return {
        "subject": limit.subject.named(refused.instance),
        "unit": limit.unit,
        "period": limit.period or None,
        "limit": number(limit, limit.value),
        "used": number(limit, refused.spent),
        "held": number(limit, refused.held),
        "reset": None if refused.resets is None else instant(refused.resets),
    }


def number(limit: Limit, amount: int) -> Any:
    """An amount as JSON's number, USD as a plain decimal, which a float would not keep."""
    return orjson.Fragment(limit.write(amount)) if limit.unit == "usd" else amount


def _amount(limit: Limit, amount: int) -> str:
    unit = "USD" if limit.unit == "usd" else limit.unit.removesuffix("s") if amount == 1 else limit.unit
    return f"{limit.write(amount)} {unit}"


def _per(limit: Limit) -> str:
    if limit.period == "total":
        return "in total"
    return f"in any {limit.period}" if limit.period in SLIDING else f"a {limit.period}"


def _help(url: str | None) -> str:
    return f" See {url}" if url else ""
