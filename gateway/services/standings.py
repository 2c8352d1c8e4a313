"""How limits stand, wherever they count: for operators and for the callers whom they bear on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.accounting.ledger import Ledger
from gateway.accounting.reports import Standing, standings_of
from gateway.model import Caller
from gateway.policy.directory import Directory
from gateway.policy.limits import Limit
from gateway.policy.refusals import number
from gateway.policy.subjects import Whom
from gateway.stores.counters import Counters


def counted(counters: Counters, bearing: Sequence[tuple[Limit, str]]) -> list[Standing]:
    """How limits stand that count in the counters. Raises StoreError."""
    used = counters.used([(limit.counter(instance), limit.seconds) for limit, instance in bearing])
    return [Standing(limit, instance, amount, 0, None) for (limit, instance), amount in zip(bearing, used, strict=True)]


class Standings:
    """Of this process's stores.

    Args:
        ledger, counters: where limits count.
        directory: knows those of the counters.
    """

    def __init__(self, ledger: Ledger, counters: Counters, directory: Directory) -> None:
        self._ledger = ledger
        self._counters = counters
        self._directory = directory

    def of(self, caller: Caller, user_id: str | None) -> dict[str, Any]:
        """What a caller may know of itself: its limits, spent, held and left.

        Args:
            user_id: also the limits of this one of its users; None for calls that name none.

        Raises:
            LedgerUnavailable: they cannot be read.
        """
        whom = Whom(caller.tenant, caller.key_id, user_id or "")
        found = self._ledger.write(lambda tx: standings_of(tx, whom))
        found += counted(self._counters, self._directory.limits().among(whom))
        models = [(standing, standing.limit.subject.whom.model) for standing in found]
        told = [standing for standing, model in models if model is None or caller.may_ask(model)]  # others are hidden
        return {
            "object": "usage",
            "tenant": caller.tenant,
            "key_id": caller.key_id,
            "role": caller.role,
            "models": None if caller.models is None else sorted(caller.models),
            "limits": [_told(standing) for standing in sorted(told, key=Standing.order)],
        }


def _told(standing: Standing) -> dict[str, Any]:
    limit = standing.limit
    return {
        "subject": limit.subject.named(standing.user),
        "unit": limit.unit,
        "period": limit.period or None,
        "mode": limit.mode,
        "limit": number(limit, limit.value),
        "spent": number(limit, standing.spent),
        "held": number(limit, standing.held),
        "left": number(limit, standing.left),
        "reset": standing.reset,
    }
