"""The sums of the ledger's rows, by day and since ever: what the rows of one transaction add is written once, at its
end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from operator import add
from typing import Any

from gateway.stores.ledger import Transaction
from gateway.stores.ledger.tables import SUMMED

_OF_DAY = ("tenant", "key_id", "user_id", "names", "model", "provider", "day")
_OF_TOTAL = ("tenant", "model", "provider")
_DAY = 86_400  # seconds

_Sums = dict[tuple[str, ...], Sequence[int]]


def count(tx: Transaction, facts: Mapping[str, Any], held_ms: int, more: Sequence[int]) -> None:
    """Add a row to the sums.

    Args:
        facts: whose it is, and of what, by column.
        held_ms: when its call was held, in milliseconds since 1970.
        more: what it adds to each of `SUMMED`, in their order.
    """
    whose = (*(facts[name] for name in _OF_DAY[:-1]), day(held_ms // 1000))
    _add(tx.notes.setdefault("sums", {}), whose, more)
    tx.last["sums"] = partial(write, tx)


def write(tx: Transaction) -> None:
    """Write what was added until now: for what reads the sums within this transaction."""
    by_day: _Sums = tx.notes.pop("sums", {})
    totals: _Sums = {}
    for whose, sums in by_day.items():
        columns = dict(zip(_OF_DAY, whose, strict=True))
        tx.run("add_day", **columns, **_named(sums))
        _add(totals, tuple(columns[name] for name in _OF_TOTAL), sums)
    for whose, sums in totals.items():
        tx.run("add_total", **dict(zip(_OF_TOTAL, whose, strict=True)), **_named(sums))


def day(seconds: int) -> str:
    """The day of an instant, seconds since 1970, in UTC: `2026-11-23`."""
    return _day(seconds // _DAY)


def _add(sums: _Sums, whose: tuple[str, ...], more: Sequence[int]) -> None:
    known = sums.get(whose)
    sums[whose] = more if known is None else tuple(map(add, known, more))


def _named(sums: Sequence[int]) -> dict[str, int]:
    return dict(zip(SUMMED, sums, strict=True))


@lru_cache(64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * _DAY, UTC).date().isoformat()
