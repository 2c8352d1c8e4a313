"""What counts against a limit: spent and held, by period. A balance begins where it is first asked for, with all that
was used in its period before, so that a limit may be set at any time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from gateway.accounting import sums
from gateway.model import LARGEST
from gateway.policy.book import LimitBook, update
from gateway.policy.limits import SLIDING, Limit
from gateway.policy.subjects import Payer
from gateway.stores.ledger import Transaction

_BEGIN_OF_TIME, _END_OF_TIME = "", "9999-12-31"  # in the order of any language


def limits(tx: Transaction) -> LimitBook:
    """The limits in force in this very transaction."""
    in_force: LimitBook | None = tx.notes.get("limits")
    if in_force is None:
        known, in_force = tx.memory.get("limits", (None, None))
        in_force = in_force or LimitBook(in_ledger=True)
        tx.memory["limits"] = (update(in_force, tx, known), in_force)
        tx.notes["limits"] = in_force
    return in_force


def counted(unit: str, requests: int, tokens: int, nano: int | None) -> int:
    """What counts in a limit's unit."""
    if unit == "requests":
        return requests
    return tokens if unit == "tokens" else nano or 0


def balance(tx: Transaction, limit: Limit, instance: str, now_ns: int) -> tuple[int, int, int | None]:
    """What is spent and what is held of a limit, and the id of the balance that a call moves now, if that is there."""
    rows = _rows(tx, limit, instance, now_ns)
    if limit.period not in SLIDING:
        if not rows:
            _begin(tx, limit, instance, now_ns)
            rows = _rows(tx, limit, instance, now_ns)
        found, _, spent, held = rows[0]
        return spent, held, found
    bucket = limit.bucket(now_ns)
    return *_sums(rows), next((row[0] for row in rows if row[1] == bucket), None)


def counting(tx: Transaction, limit: Limit, instance: str, now_ns: int) -> tuple[int, int]:
    """What is spent and held as far as it has begun."""
    return _sums(_rows(tx, limit, instance, now_ns))


def hold_of(tx: Transaction, limit: Limit, instance: str, now_ns: int, found: int | None, amount: int) -> int:
    """Hold more of a balance, which is made where `balance` found none; its id."""
    if found is None:
        return add(tx, limit, instance, limit.bucket(now_ns), 0, amount)
    if amount:
        tx.run("hold_more", balance=found, more_held=amount)
    return found


def add(tx: Transaction, limit: Limit, instance: str, start: int, spent: int, held: int) -> int:
    """Add to a balance, which is made where it is not there; its id."""
    rows = tx.run("add_balance", limit_id=limit.id, instance=instance, start=start, spent=spent, held=held)
    found: int = rows[0][0]
    return found


def has_room(tx: Transaction, limit: Limit, instance: str, amount: int, now_ns: int) -> int | None:
    """When `amount` will fit if nothing else is spent, in seconds since 1970; the period's end where it never will."""
    if limit.period not in SLIDING:
        return limit.resets(now_ns)
    rows = _rows(tx, limit, instance, now_ns)
    left = limit.value - amount - sum(spent for _, _, spent, _ in rows)
    for _, bucket, spent, _ in rows:
        left += spent
        if left >= 0:
            return limit.forgotten(bucket)
    return limit.forgotten(limit.bucket(now_ns))


def begin(tx: Transaction, limit: Limit, now_ns: int) -> None:
    """Begin all balances of a limit that anything counts against already. Those of a sliding period begin empty."""
    if limit.period not in SLIDING:
        _begin(tx, limit, None, now_ns)


def _rows(tx: Transaction, limit: Limit, instance: str, now_ns: int) -> list[tuple[Any, ...]]:
    """The balances that count at `now_ns`: id, start, spent, held."""
    return tx.run("balances", of=limit.id, whose=instance, since=limit.since(now_ns), until=limit.until(now_ns))


def _sums(rows: list[tuple[Any, ...]]) -> tuple[int, int]:
    return sum(row[2] for row in rows), sum(row[3] for row in rows)


def _begin(tx: Transaction, limit: Limit, only: str | None, now_ns: int) -> None:
    """Begin the balances of a calendar period that are not there: all of them, or that of one instance."""
    start, end = limit.bucket(now_ns), limit.resets(now_ns)
    sums.write(tx)
    spent, flying = _spent_between(tx, limit, only, start, end), _in_flight(tx, limit, only, start, end)
    instances = {"", *spent, *(instance for instance, _, _ in flying)} if only is None else {only}
    for instance in instances:
        if _rows(tx, limit, instance, now_ns):
            continue
        held = [(row, amount) for whose, row, amount in flying if whose == instance]
        begins = spent[instance], sum(amount for _, amount in held)
        begun = add(tx, limit, instance, start, *(min(LARGEST, each) for each in begins))
        for row, amount in held:
            moves = [*orjson.loads(row[9]), (begun, limit.unit, amount)]
            tx.run("set_moves", call=row[0], number=row[1], new_moves=orjson.dumps(moves).decode())


def _spent_between(tx: Transaction, limit: Limit, only: str | None, start: int, end: int | None) -> Counter[str]:
    """What has been spent in a period, by instance."""
    since, until = (_BEGIN_OF_TIME, _END_OF_TIME) if end is None else (sums.day(start), sums.day(end))
    kind, whose = _narrowest(limit, only)
    spent: Counter[str] = Counter()
    for tenant, key_id, user_id, names, *taken in tx.run(f"spent{kind}", since=since, until=until, **whose):
        instance = limit.subject.instance(Payer(tenant, key_id, user_id, names.split(" ")))
        if instance is not None:
            spent[instance] += counted(limit.unit, *map(int, taken))
    return spent


def _in_flight(
    tx: Transaction, limit: Limit, only: str | None, start: int, end: int | None
) -> list[tuple[str, tuple[Any, ...], int]]:
    """The calls in flight of a period that a limit bears on: the instance, the hold, and the amount."""
    found = []
    kind, whose = _narrowest(limit, only)
    if kind == "_of_key":
        whose = {"of_key": f'"key_id":{orjson.dumps(whose["of_key"]).decode()}'}  # as it stands in a hold's facts
    for row in tx.run(f"holds{kind}", **whose):
        facts = orjson.loads(row[8])
        payer = Payer(facts["tenant"], facts["key_id"], facts["user_id"], facts["names"].split(" "))
        instance = limit.subject.instance(payer)
        if instance is not None and start * 1000 <= row[3] and (end is None or row[3] < end * 1000):
            found.append((instance, row, counted(limit.unit, 1 if row[1] <= 1 else 0, row[5] + row[6], row[4])))
    return found


def _narrowest(limit: Limit, only: str | None) -> tuple[str, dict[str, str]]:
    """The statements that look at no more calls than they need for a limit, or for `only` one instance of it, and their
    parameters: there may be any number of users, keys and tenants, and each of them has a first call."""
    whom, each = limit.subject.whom, limit.subject.each_of
    user = (whom.user_id or None) if each is None else only
    if user is not None and whom.tenant is not None:
        return "_of_user", {"of_tenant": whom.tenant, "of_user": user}
    if whom.key_id is not None:
        return "_of_key", {"of_key": whom.key_id}
    if whom.tenant is not None:
        return "_of_tenant", {"of_tenant": whom.tenant}
    return "", {}
