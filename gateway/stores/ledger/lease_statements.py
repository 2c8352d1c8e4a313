"""The statements on leases, which a database of several hosts has; see `gateway.stores.ledger.statements`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, bindparam, cast, delete, func, select, union

from gateway.stores.ledger.tables import holds, leases


def lease_statements(insert: Any) -> dict[str, Any]:
    """Each by its name. `insert` is the dialect's own."""
    now = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)  # not the transaction's beginning
    lease = insert(leases).values(
        owner=bindparam("owner"), until_ms=now + 1000 * bindparam("seconds", type_=BigInteger)
    )  # fmt: skip
    running = leases.c.until_ms > now
    of_hold = select(leases.c.owner).where(leases.c.owner == holds.c.owner, running)
    return {
        "renew_lease": lease.on_conflict_do_update(
            index_elements=["owner"], set_={"until_ms": lease.excluded.until_ms}
        ),
        "running_lease": select(leases.c.owner).where(leases.c.owner == bindparam("whose"), running),
        "lapsed_leases": union(
            select(leases.c.owner).where(~running), select(holds.c.owner).where(~of_hold.exists())
        ),
        "end_lease": delete(leases).where(leases.c.owner == bindparam("whose")),
    }  # fmt: skip
