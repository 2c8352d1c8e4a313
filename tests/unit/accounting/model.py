"""The ledger as the contract describes it, in dicts and whole numbers: what the real one is held against.

Only calls and limits are kept; what is spent and held is added up anew whenever somebody asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

BUCKETS = 60
SLIDING = {"second": 1, "minute": 60, "hour": 3600}
Key = tuple[str, str, str]  # a limit's subject, unit and period
Amounts = dict[str, int]  # by unit


@dataclass
class Call:
    """One attempt: who pays for it, when it was held, what is held for it, and what it took once it is settled."""

    at: int
    tenant: str
    key: str
    user: str
    names: Sequence[str]
    owner: str
    price: tuple[int, int] | None  # nano-USD of a token of its prompt and of its answer
    reserved: Amounts = field(default_factory=dict)
    held: dict[Key, int] = field(default_factory=dict)
    took: Amounts | None = None


class Model:
    """Limits with their mode and value, and calls in the order in which they were held."""

    def __init__(self) -> None:
        self.limits: dict[Key, tuple[str, int]] = {}
        self.calls: dict[tuple[str, int], Call] = {}
        self.lately: list[Call] = []  # settled, their usage known

    def standing(self, key: Key, instance: str, now: int) -> tuple[int, int]:
        """What is spent and what is held of a limit."""
        spent = held = 0
        for call in self.calls.values():
            counts = whose(key[0], call) == instance and together(key[2], call.at, now)
            if counts and (key in call.held or key[2] not in SLIDING):  # those that slide begin empty
                taken = call.took and (
                    call.held.get(key, call.took["requests"]) if key[1] == "requests" else call.took[key[1]]
                )
                spent += taken or 0
                held += 0 if call.took else call.held.get(key, call.reserved[key[1]])
        return spent, held

    def hold(self, name: tuple[str, int], call: Call, asked: Amounts, capped: Amounts, bounded: bool) -> str:
        """Hold a call; 'admitted', or why not."""
        bearing = {key: limit for key, limit in self.limits.items() if whose(key[0], call) is not None}
        hard = {unit for (_, unit, _), (mode, _) in bearing.items() if mode == "hard"}
        strict = "tokens" in hard or ("usd" in hard and call.price != (0, 0))
        if strict and not (bounded and (call.price or "usd" not in hard)):
            return "unbounded"
        call.reserved, verdicts = dict(capped if strict else asked), {"admitted"}
        for key, (mode, value) in bearing.items():
            amount = 1 if key[1] == "requests" and of_a_fallback(key[0], call) else call.reserved[key[1]]
            call.held[key] = min(amount, self.usual(call, key[1], amount)) if mode == "firm" else amount
            spent, held = self.standing(key, whose(key[0], call) or "", call.at)
            if mode != "soft" and call.held[key] and spent + held + call.held[key] > value:
                verdicts.add("budget_held" if spent + call.held[key] <= value else "insufficient_quota")
        if verdicts == {"admitted"}:
            self.calls[name] = call
            in_usd = [amount for (_, unit, _), amount in call.held.items() if unit == "usd"]
            call.reserved["usd"] = max(in_usd, default=call.reserved["usd"])
        return max(verdicts)  # alphabetical: what is spent weighs more than what is only held

    def settle(self, name: tuple[str, int], took: Amounts, known: bool) -> None:
        """Settle a call, once."""
        call = self.calls[name]
        if call.took is None:
            call.took = took
            self.lately += [call] if known else []

    def remove(self, key: Key) -> None:
        """Remove a limit and what is known of it."""
        self.limits.pop(key, None)
        for call in self.calls.values():
            call.held.pop(key, None)

    def usual(self, call: Call, unit: str, bound: int) -> int:
        """What 95 % of the latest hundred such calls took no more of, if there have been eight."""
        took = sorted(other.took[unit] for other in [o for o in self.lately if o.key == call.key][-100:] if other.took)
        return took[math.ceil(0.95 * len(took)) - 1] if len(took) >= 8 and unit != "requests" else bound


def of_a_fallback(subject: str, call: Call) -> bool:
    """Whether a limit is of the model that answers in place of the one that was asked for."""
    return any(f"model:{name}" in subject.split("+") for name in call.names[1:])


def whose(subject: str, call: Call) -> str | None:
    """Which of a limit's balances a call moves; None where it moves none."""
    instance = ""
    for part in subject.split("+"):
        kind, _, name = part.partition(":")
        if kind == "user":
            user, _, tenant = name.rpartition("@")
            if tenant != call.tenant or user not in ("*", call.user):
                return None
            instance = call.user if user == "*" else ""
        elif kind != "global" and name not in {"tenant": [call.tenant], "key": [call.key], "model": call.names}[kind]:
            return None
    return instance


def together(period: str, then: int, now: int) -> bool:
    """Whether two instants can be in one period, or in one window with its oldest bucket counted whole."""
    if period in SLIDING:
        first, second = (at * BUCKETS // (SLIDING[period] * 1_000_000_000) for at in (then, now))
        return abs(first - second) <= BUCKETS
    a, b = (datetime.fromtimestamp(at // 1_000_000_000, UTC) for at in (then, now))
    parts = {"day": "%Y-%m-%d", "week": "%G-%V", "month": "%Y-%m", "total": ""}[period]
    return a.strftime(parts) == b.strftime(parts)
