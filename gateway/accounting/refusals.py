"""What a client is told where a limit has no room for its call; agents show nothing but the sentence."""

from __future__ import annotations

import math
import time
from typing import Any

import orjson

from gateway.accounting.entries import Refused
from gateway.errors import BudgetHeld, GatewayError, InsufficientQuota
from gateway.policy.limits import SLIDING, Limit, instant


def refusal(refused: Refused, help_url: str | None) -> GatewayError:
    """The error that a refusal becomes.

    Args:
        refused: by the ledger.
        help_url: where the operator has users ask for more, or None.
    """
    limit = refused.limit
    subject = limit.subject.named(refused.instance)
    resets = None if refused.resets is None else instant(refused.resets)
    told = {
        "subject": subject,
        "unit": limit.unit,
        "period": limit.period,
        "limit": _number(limit, limit.value),
        "used": _number(limit, refused.spent),
        "held": _number(limit, refused.held),
        "reset": resets,
    }
    message = (
        f"The limit of {_amount(limit, limit.value)} {_per(limit)} for {subject} has no room for this call, which may "
        f"take up to {_amount(limit, refused.amount)}: {_amount(limit, refused.spent)} used, "
        f"{_amount(limit, refused.held)} held by calls in flight. "
    )
    if refused.only_held:
        message += "Try again when some of them have ended."
        return BudgetHeld(message + _help(help_url), limit=told, retry_after=1)
    if refused.amount > limit.value:
        message += "It is more than the whole limit: ask for a shorter answer by max_tokens, or for a larger limit."
    else:
        if limit.unit != "requests" and (left := limit.value - refused.spent - refused.held) > 0:
            message += f"One of up to {_amount(limit, left)} fits now: ask for a shorter answer by max_tokens. "
        message += f"There is more room at {resets}." if resets else "It does not reset."
    wait = None if refused.resets is None else max(1, math.ceil(refused.resets - time.time()))
    return InsufficientQuota(message + _help(help_url), limit=told, retry_after=wait)


def _number(limit: Limit, amount: int) -> Any:
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
