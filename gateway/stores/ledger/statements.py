"""The hot statements: written once in SQLAlchemy Core, compiled once for a dialect, run on the driver's connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from gateway.model import LARGEST
from gateway.stores.ledger.lease_statements import lease_statements
from gateway.stores.ledger.policy_statements import policy_statements
from gateway.stores.ledger.tables import BOUGHT, SUMMED, balances, days, holds, limits, totals, usage

_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_LEAST: Mapping[str, Any] = {"sqlite": func.min, "postgresql": func.least}
_LARGEST: ColumnElement[int] = literal_column(
    str(LARGEST)
)  # sums go no further, since beyond their type they would fail or be no numbers
GROUPS: Mapping[str, Column[str]] = {
    "tenant": days.c.tenant,
    "key": days.c.key_id,
    "user": days.c.user_id,
    "model": days.c.model,
    "provider": days.c.provider,
    "day": days.c.day,
}
LATELY = 100  # settled calls that a `firm` limit learns from


class Compiled(NamedTuple):
    """A statement.

    Attributes:
        constants: the values of those of its parameters that never change.
        names: of its parameters, in their order where the dialect has places for them.
    """

    text: str
    constants: Mapping[str, Any]
    names: Sequence[str]


def compiled(dialect: Dialect) -> dict[str, Compiled]:
    """Every statement by its name."""
    found = {}
    for name, statement in _statements(dialect.name).items():
        text = statement.compile(dialect=dialect)
        constants = {key: value for key, value in text.params.items() if value is not None}
        found[name] = Compiled(str(text), constants, text.positiontup or ())
    return found


def _statements(dialect: str) -> dict[str, Any]:
    insert, least = _INSERT[dialect], _LEAST[dialect]
    counted = insert(balances)
    of_balance = balances.c.id == bindparam("balance")
    of_hold = (holds.c.call_id == bindparam("call")) & (holds.c.attempt == bindparam("number"))
    window = (balances.c.limit_id == bindparam("of")) & (balances.c.instance == bindparam("whose"))
    between = days.c.day >= bindparam("since"), days.c.day < bindparam("until")
    return {
        **policy_statements(insert),
        **(lease_statements(insert) if dialect == "postgresql" else {}),
        "balances": select(balances.c.id, balances.c.start, balances.c.spent, balances.c.held)
        .where(window, balances.c.start >= bindparam("since"), balances.c.start <= bindparam("until"))
        .order_by(balances.c.start),
        "add_balance": counted.values(_all(balances, "id"))
        .on_conflict_do_update(
            index_elements=["limit_id", "instance", "start"],
            set_={
                "spent": least(balances.c.spent + counted.excluded.spent, _LARGEST),
                "held": least(balances.c.held + counted.excluded.held, _LARGEST),
            },
        )
        .returning(balances.c.id),
        "hold_more": update(balances).where(of_balance).values(
            held=least(balances.c.held + bindparam("more_held"), _LARGEST)),
        "move": update(balances)
        .where(of_balance)
        .values(
            spent=least(balances.c.spent + bindparam("more_spent"), _LARGEST),
            held=balances.c.held - bindparam("less_held"),
        )
        .returning(balances.c.limit_id, balances.c.instance, balances.c.start, balances.c.spent),
        "add_hold": insert(holds).values(_all(holds)),
        "hold": select(holds).where(of_hold),
        "holds": select(holds),
        "holds_of_tenant": select(holds).where(holds.c.tenant == bindparam("of_tenant")),
        "holds_of_key": select(holds).where(holds.c.facts.contains(bindparam("of_key"))),
        "holds_of_user": select(holds).where(
            holds.c.tenant == bindparam("of_tenant"), holds.c.user_id == bindparam("of_user")),
        "owners": select(holds.c.owner).distinct(),
        "set_moves": update(holds).where(of_hold).values(moves=bindparam("new_moves")),
        "drop_hold": delete(holds).where(of_hold).returning(holds),
        "drop_holds_of": delete(holds).where(holds.c.owner == bindparam("whose")).returning(holds),
        "add_usage": insert(usage).values(_all(usage, "id")),
        "settled": select(usage.c.id).where(
            usage.c.call_id == bindparam("call"), usage.c.attempt == bindparam("number")),
        "lately": _lately(),
        "add_day": _added(insert, least, days),
        "add_total": _added(insert, least, totals),
        "spent": _spent(*between),
        "spent_of_tenant": _spent(days.c.tenant == bindparam("of_tenant"), *between),
        "spent_of_key": _spent(days.c.key_id == bindparam("of_key"), *between),
        "spent_of_user": _spent(
            days.c.tenant == bindparam("of_tenant"), days.c.user_id == bindparam("of_user"), *between),
        "totals": select(totals.c.tenant, totals.c.model, totals.c.provider, totals.c.cost_nano,
                         *_kinds(totals, "prompt", "cached", "cache_write", "completion", "reasoning"))
        .where(or_(totals.c.prompt_tokens > 0, totals.c.cost_nano > 0)),  # clients name models that are none
        "balances_of": select(balances.c.start, balances.c.spent, balances.c.held)
        .where(balances.c.limit_id == bindparam("of")),
        "all_balances": select(balances.c.limit_id, balances.c.instance, balances.c.start, balances.c.spent,
                               balances.c.held),
        **{f"usage_by_{name}": _usage_by(column) for name, column in GROUPS.items()},
        "drop_balances": delete(balances).where(balances.c.limit_id == bindparam("of")),
        "prune_usage": delete(usage).where(usage.c.id.in_(
            select(usage.c.id).where(usage.c.held_ms < bindparam("before")).order_by(usage.c.held_ms)
            .limit(bindparam("most")))).returning(usage.c.id),
        "prune_empty": delete(balances).where(balances.c.spent == 0, balances.c.held == 0),
        "prune_balances": delete(balances).where(
            balances.c.limit_id.in_(select(limits.c.id).where(limits.c.period == bindparam("of_period"))),
            balances.c.start < bindparam("before"), balances.c.held == 0),
        "tenant_budgets": select(limits.c.id, limits.c.subject, limits.c.unit, limits.c.period, limits.c.mode,
                                 limits.c.value)
        .where(limits.c.unit == "usd", limits.c.subject.like("tenant:%"), limits.c.subject.not_like("%+%")),
    }  # fmt: skip


def _all(table: Table, *but: str) -> dict[str, Any]:
    return {column.name: bindparam(column.name) for column in table.columns if column.name not in but}


def _kinds(table: Table, *kinds: str) -> list[ColumnElement[int]]:
    return [table.c[f"{kind}_tokens"] for kind in kinds]


def _usage_by(column: Column[str]) -> Any:
    """Sums of the days from one on, of one tenant or, where that is "", of all. By target a request counts at each that
    was tried for it."""
    counted = days.c.attempts if column.name in ("model", "provider") else days.c.requests
    sums = (counted, days.c.errors, *_kinds(days, "prompt", "cached", "completion", "reasoning"), days.c.cost_nano)
    whose = bindparam("whose", type_=Text)
    return (
        select(column, *(func.sum(one) for one in sums))
        .where(days.c.day >= bindparam("since"), or_(whose == literal(""), days.c.tenant == whose))
        .group_by(column)
        .order_by(column)
    )


def _spent(*which: ColumnElement[bool]) -> Select[Any]:
    """The sums of some days, by all that a limit may look at."""
    whose = (days.c.tenant, days.c.key_id, days.c.user_id, days.c.names)
    tokens = func.sum(days.c.prompt_tokens + days.c.completion_tokens)
    return select(*whose, func.sum(days.c.requests), tokens, func.sum(days.c.cost_nano)).where(*which).group_by(*whose)


def _lately() -> Select[Any]:
    """What such calls cost, the latest first: those whose usage is known."""
    return (
        select(usage.c.cost_nano, usage.c.prompt_tokens + usage.c.completion_tokens)
        .where(
            usage.c.key_id == bindparam("of_key"),
            usage.c.provider == bindparam("of_provider"),
            usage.c.model == bindparam("of_model"),
            or_(usage.c.usage_source == "provider", usage.c.usage_source == "counted"),
            BOUGHT,  # as it stands in the index
        )
        .order_by(usage.c.id.desc())
        .limit(LATELY)
    )


def _added(insert: Any, least: Any, table: Table) -> Any:
    """Add to the sums of a row, which is made where it is not there."""
    statement = insert(table).values(_all(table))
    return statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key.columns],
        set_={name: least(table.c[name] + statement.excluded[name], _LARGEST) for name in SUMMED},
    )
