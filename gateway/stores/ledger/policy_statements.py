"""The statements on tenants, keys and limits; see `gateway.stores.ledger.statements`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Table, Text, and_, bindparam, delete, func, or_, select, update

from gateway.stores.ledger.tables import changes, keys, limits, tenants, versions

_LIMIT = (limits.c.id, limits.c.subject, limits.c.unit, limits.c.period, limits.c.mode, limits.c.value)


def policy_statements(insert: Any) -> dict[str, Any]:
    """Each by its name. `insert` is the dialect's own."""
    whose: BindParameter[str] = bindparam("whose", type_=Text)
    rated = and_(
        limits.c.subject == whose, limits.c.unit == bindparam("of_unit"), limits.c.period == bindparam("of_period")
    )
    return {
        "version": select(versions.c.version).where(versions.c.name == "policy"),
        "changed": _changed(insert),
        "add_change": insert(changes).values(**_all(changes)),
        "changes": select(changes.c.version, changes.c.kind, changes.c.name)
        .where(changes.c.version > bindparam("since")).order_by(changes.c.version),
        "prune_changes": delete(changes).where(changes.c.version < bindparam("before")),
        "limits": select(*_LIMIT),
        "limit": select(*_LIMIT).where(limits.c.id == bindparam("of")),
        "put_limit": _put_limit(insert),
        "mode": select(limits.c.mode).where(rated),
        "drop_limit": delete(limits).where(rated).returning(limits.c.id),
        "tenants": select(tenants.c.name, tenants.c.created_ms).order_by(tenants.c.created_ms, tenants.c.name),
        "tenant": select(tenants.c.name, tenants.c.created_ms).where(tenants.c.name == whose),
        "add_tenant": insert(tenants).values(**_all(tenants)),
        "drop_tenant": delete(tenants).where(tenants.c.name == whose).returning(tenants.c.name),
        "keys": select(keys).order_by(keys.c.created_ms, keys.c.id),
        "keys_of": select(keys).where(keys.c.tenant == whose),
        "key": select(keys).where(keys.c.id == whose),
        "add_key": insert(keys).values(**_all(keys)),
        "new_secret": update(keys).where(keys.c.id == whose).values(
            old_hash=keys.c.hash, old_until_ms=bindparam("until"), hash=bindparam("new_hash")),
        "revoke_key": update(keys).where(keys.c.id == whose, keys.c.revoked_ms.is_(None))
        .values(revoked_ms=bindparam("now")).returning(keys.c.id),
        "revoke_keys_of": update(keys).where(keys.c.tenant == whose, keys.c.revoked_ms.is_(None))
        .values(revoked_ms=bindparam("now")).returning(keys.c.id),
        "count_keys": select(keys.c.tenant, func.count()).where(
            keys.c.revoked_ms.is_(None), or_(keys.c.expires_ms.is_(None), keys.c.expires_ms > bindparam("now"))
        ).group_by(keys.c.tenant),
    }  # fmt: skip


def _all(table: Table) -> dict[str, Any]:
    return {column.name: bindparam(column.name) for column in table.columns}


def _put_limit(insert: Any) -> Any:
    statement = insert(limits).values(
        {column.name: bindparam(column.name) for column in limits.columns if column.name != "id"}
    )
    changed = {"mode": statement.excluded.mode, "value": statement.excluded.value}
    return statement.on_conflict_do_update(
        index_elements=["subject", "unit", "period"], set_=changed
    ).returning(limits.c.id)  # fmt: skip


def _changed(insert: Any) -> Any:
    """Count a change; the number that it has."""
    statement = insert(versions).values(name="policy", version=1)
    return statement.on_conflict_do_update(
        index_elements=["name"], set_={"version": versions.c.version + 1}
    ).returning(versions.c.version)  # fmt: skip
