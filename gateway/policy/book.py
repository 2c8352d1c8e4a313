"""The limits in force, found by whom they bear on, and read again only where somebody has changed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.policy.limits import Limit, counts_in_ledger
from gateway.policy.subjects import Payer, Subject, Whom
from gateway.stores.ledger import Transaction

_SELECTIVE = ("key", "user", "tenant", "model", "global")  # under which of its parts a limit is found, the best first
_KEPT_CHANGES = 10_000
_KEPT_PAYERS = 4096  # of whom a book knows which limits bear on them


def changed(tx: Transaction, kind: str, name: object) -> None:
    """Tell every process that a tenant, a key or a limit has changed.

    Args:
        kind: "tenant", "key" or "limit", or "keys" for all of a tenant.
        name: the tenant's name, or the id of the key or limit.
    """
    tx.run("add_change", version=tx.run("changed")[0][0], kind=kind, name=str(name))
    tx.notes.pop("limits", None)


def version(tx: Transaction) -> int:
    """How many changes there have been."""
    rows = tx.run("version")
    return int(rows[0][0]) if rows else 0


def changes(tx: Transaction, since: int, now: int) -> dict[str, set[str]] | None:
    """What has changed after version `since` until `now`: names by kind; None where that is not known any more."""
    rows = tx.run("changes", since=since)
    if now < since or [row[0] for row in rows] != list(range(since + 1, now + 1)):  # an earlier ledger was restored
        return None
    found: dict[str, set[str]] = {}
    for _, kind, name in rows:
        found.setdefault(kind, set()).add(name)
    return found


def prune_changes(tx: Transaction) -> None:
    """Forget changes that every process knows of; one that does not reads everything."""
    tx.run("prune_changes", before=version(tx) - _KEPT_CHANGES)


class LimitBook:
    """Limits of the ledger, or of the counters. Others may read it while one changes it.

    Args:
        in_ledger: which.
    """

    def __init__(self, in_ledger: bool) -> None:
        self._in_ledger = in_ledger
        self._by_id: dict[int, Limit] = {}
        self._by_part: dict[tuple[str | None, ...], tuple[Limit, ...]] = {}
        self._bearing: dict[tuple[str, ...], list[tuple[Limit, str]]] = {}  # another one after each change

    def __iter__(self) -> Iterator[Limit]:
        return iter(list(self._by_id.values()))

    def get(self, limit_id: int) -> Limit | None:
        """The limit of an id."""
        return self._by_id.get(limit_id)

    def read(self, tx: Transaction) -> None:
        """Read all limits."""
        by_id: dict[int, Limit] = {}
        by_part: dict[tuple[str | None, ...], list[Limit]] = {}
        subjects: dict[str, Subject] = {}
        for limit in (_limit(row, subjects) for row in tx.run("limits") if self._has(row)):
            by_id[limit.id] = limit
            by_part.setdefault(_place(limit), []).append(limit)
        self._by_id = by_id
        self._by_part = {part: tuple(limits) for part, limits in by_part.items()}
        self._bearing = {}

    def read_again(self, tx: Transaction, ids: Iterable[str]) -> None:
        """Read those that have changed; each is replaced at once."""
        for limit_id in map(int, ids):
            read = [_limit(row, {}) for row in tx.run("limit", of=limit_id) if self._has(row)]
            for known in read or filter(None, [self._by_id.get(limit_id)]):
                place = _place(known)
                others = [limit for limit in self._by_part.get(place, ()) if limit.id != limit_id]
                self._by_part[place] = (*others, *read)
            self._by_id.pop(limit_id, None)
            self._by_id.update((limit.id, limit) for limit in read)
            self._bearing = {}

    def bearing(self, payer: Payer) -> Sequence[tuple[Limit, str]]:
        """The limits that bear on a call, and whose balance it moves of each."""
        if not self._by_part:
            return ()
        kept = self._bearing  # before what may change meanwhile is read
        whom = (payer.tenant, payer.key_id, payer.user_id, *payer.names)
        found = kept.get(whom)
        if found is None:
            places = _places(*whom[:3]) + [("model", name) for name in payer.names]
            each = ((limit, limit.subject.instance(payer)) for limit in self._at(places))
            found = [(limit, whose) for limit, whose in each if whose is not None]
            if len(kept) >= _KEPT_PAYERS:
                kept.clear()
            kept[whom] = found
        return found

    def among(self, whom: Whom) -> list[tuple[Limit, str]]:
        """The limits that bear on some of these calls, and whose balance those move of each."""
        places = _places(whom.tenant, whom.key_id, whom.user_id)
        places += [place for place in list(self._by_part) if place[0] == "model"]
        return [(limit, whose) for limit in self._at(places) if (whose := limit.subject.among(whom)) is not None]

    def _has(self, row: tuple[Any, ...]) -> bool:
        return counts_in_ledger(row[2], row[3]) == self._in_ledger

    def _at(self, places: Sequence[tuple[str | None, ...]]) -> Iterator[Limit]:
        """The limits in these places, each once."""
        for place in dict.fromkeys(places):
            yield from self._by_part.get(place, ())


def _limit(row: tuple[Any, ...], subjects: dict[str, Subject]) -> Limit:
    subject = subjects.get(row[1]) or subjects.setdefault(row[1], Subject.parse(row[1]))
    return Limit(row[0], subject, *row[2:])


def _place(limit: Limit) -> tuple[str, ...]:
    return min(limit.subject.parts, key=lambda part: _SELECTIVE.index(part[0]))


def _places(tenant: str | None, key_id: str | None, user_id: str) -> list[tuple[str | None, ...]]:
    """Where limits are that bear on such calls, besides those of models."""
    return [("key", key_id), ("user", user_id, tenant), ("user", "*", tenant), ("tenant", tenant), ("global",)]


def update(book: LimitBook, tx: Transaction, known: int | None) -> int:
    """Bring a book up to date; the version that it then has.

    Args:
        known: the version that it has; None for none.
    """
    now = version(tx)
    if known != now:
        told: Mapping[str, set[str]] | None = None if known is None else changes(tx, known, now)
        if told is None:
            book.read(tx)
        else:
            book.read_again(tx, told.get("limit", ()))
    return now
