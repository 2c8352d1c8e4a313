"""What the ledger tells: usage by whatever one asks for, limits with what is spent and held, sums for the metrics."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.accounting.balances import begin, counting, limits
from gateway.model import usd
from gateway.policy.book import changed
from gateway.policy.limits import MODES, Limit, parse_rate, parse_value
from gateway.policy.subjects import Subject, Whom
from gateway.stores.ledger import Transaction
from gateway.telemetry.sums import Budget, Sums, Total

BY = {"tenant": "tenant", "key": "key_id", "user": "user_id", "model": "model", "provider": "provider", "day": "day"}
COLUMNS = (
    "requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "held_usd",
    "cost_usd",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit and how it stands: of `user`, where it is for each. `reset` is when its calendar period ends, in UTC, or
    None."""

    limit: Limit
    user: str
    spent: int
    held: int
    reset: str | None

    @property
    def left(self) -> int:
        return max(0, self.limit.value - self.spent - self.held)

    def order(self) -> tuple[str, ...]:
        """By subject, unit, period and user."""
        return self.limit.subject.text, self.limit.unit, self.limit.period, self.user


def usage(tx: Transaction, by: str, since: str, tenant: str = "") -> list[dict[str, Any]]:
    """Usage by one of BY.

    Args:
        since: the first day, in UTC, as `2026-11-23`.
        tenant: whose; "" for all.

    Returns:
        A row for each value of `by`, with COLUMNS; amounts of USD as decimal strings.
    """
    held: Counter[str] = Counter()
    for row in tx.run("holds"):
        facts = {**orjson.loads(row[8]), "day": datetime.fromtimestamp(row[3] / 1000, UTC).date().isoformat()}
        if facts["day"] >= since and tenant in ("", facts["tenant"]):
            held[facts[BY[by]]] += row[4]
    found = {row[0]: list(map(int, row[1:])) for row in tx.run(f"usage_by_{by}", since=since, whose=tenant)}
    lines = []
    for name in sorted({*found, *held}):
        *counts, cost = found.get(name, [0] * (len(COLUMNS) - 1))
        lines.append(dict(zip((by, *COLUMNS), (name, *counts, usd(held[name]), usd(cost)), strict=True)))
    return lines


def standings(tx: Transaction) -> list[Standing]:
    """Every limit that counts in the ledger, and what counts against it now; where it is for each user, of every user
    that has used something."""
    now = time.time_ns()
    balances: dict[int, dict[str, list[int]]] = {}
    in_force = limits(tx)
    counts = {limit.id: range(limit.since(now), limit.until(now) + 1) for limit in in_force}
    for limit_id, instance, start, spent, held in tx.run("all_balances"):
        if start in counts.get(limit_id, ()):
            sums = balances.setdefault(limit_id, {}).setdefault(instance, [0, 0])
            sums[0], sums[1] = sums[0] + spent, sums[1] + held
    return [
        Standing(limit, user, spent, held, limit.reset(now))
        for limit in in_force
        for user, (spent, held) in balances.get(limit.id, {"": [0, 0]}).items()
    ]


def standings_of(tx: Transaction, whom: Whom) -> list[Standing]:
    """The limits among them that bear on some calls, as they bear on these."""
    now = time.time_ns()
    return [
        Standing(limit, instance, *counting(tx, limit, instance, now), limit.reset(now))
        for limit, instance in limits(tx).among(whom)
    ]


def summary(tx: Transaction) -> Sums:
    """What the metrics show."""
    totals = [Total(row[0], row[1], row[2], row[3], tuple(row[4:])) for row in tx.run("totals")]
    now = time.time_ns()
    budgets = []
    for row in tx.run("tenant_budgets"):
        limit = Limit(row[0], Subject.parse(row[1]), *row[2:])
        budgets.append(Budget(limit.subject.parts[0][1], limit.period, limit.value, *counting(tx, limit, "", now)))
    return Sums(totals, budgets)


def set_limit(tx: Transaction, subject: str, rate: str, value: str, mode: str | None) -> Standing:
    """Set a limit, or change its value and mode; None keeps the mode that it has, and is hard for a new one. Raises
    Misspelt.

    Returns:
        How it stands now: of all users together, where it is for each.
    """
    unit, period = parse_rate(rate)
    whose, amount = Subject.parse(subject).text, parse_value(value, unit)
    known = tx.run("mode", whose=whose, of_unit=unit, of_period=period)
    mode = mode or (known[0][0] if known else MODES[0])
    ((limit_id,),) = tx.run("put_limit", subject=whose, unit=unit, period=period, mode=mode, value=amount)
    changed(tx, "limit", limit_id)
    limit = Limit(limit_id, Subject.parse(whose), unit, period, mode, amount)
    if not limit.in_ledger:
        return Standing(limit, "", 0, 0, None)
    now = time.time_ns()
    begin(tx, limit, now)
    counts = [row for row in tx.run("balances_of", of=limit_id) if limit.since(now) <= row[0] <= limit.until(now)]
    return Standing(limit, "", sum(row[1] for row in counts), sum(row[2] for row in counts), limit.reset(now))


def remove_limit(tx: Transaction, subject: str, rate: str) -> bool:
    """Remove a limit and what is known of its balances; whether it was there. Raises Misspelt."""
    unit, period = parse_rate(rate)
    removed = tx.run("drop_limit", whose=Subject.parse(subject).text, of_unit=unit, of_period=period)
    for (limit_id,) in removed:
        tx.run("drop_balances", of=limit_id)
        changed(tx, "limit", limit_id)
    return bool(removed)
