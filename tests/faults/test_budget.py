"""A hard limit is never passed, however many calls ask at once: of those that it has room for, each is let in.

With answers held open, as many calls are admitted as the limit has room for upper bounds, exactly.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.faults.load import Burst, Call, request
from tests.faults.oracle import holds
from tests.faults.rig import LONG, WITHIN, Rig, more_files, tell, wait_for

# Of how many calls at once so many have room. They hold threads: the gate of a worker with 200 lets 160 in.
ROOMS = {"gevent": (1_000, 10_000), "gthread": (60, 300)} if LONG else {"gevent": (20, 200)}
REPEATS = 20 if LONG else 1
WORKERS = 4
NANO = Decimal(10) ** -9


def asking(number: int) -> bytes:
    """A call that is bounded as every other is: of the same length, with the same cap."""
    body = {"prompt": f"call {number:06}", "user_id": "ann", "max_tokens": 500, "stream": bool(number % 2)}
    return request("/inference", body, f"call-{number}")


def bound_of_a_call(rig: Rig) -> int:
    """What is held for one call, in nano-USD."""
    rig.provider.hold(True)
    call = Burst(rig.service.port, [asking(0)])
    (held,) = wait_for(lambda: holds(rig.ledger), 10)
    rig.provider.hold(False)
    assert call.join()[0].outcome == "ok"
    bound: int = held["bound_nano"]
    return bound


def standing(rig: Rig) -> dict[str, Decimal]:
    """The limit as the operator sees it."""
    (found,) = rig.listed("limits", "list", "tenant:default")
    return {name: Decimal(found[name]) for name in ("limit", "spent", "held")}


def is_refused_for_now(call: Call, limit: Decimal) -> bool:
    """Whether the client was told that only calls in flight stand in its way, and of which limit."""
    told = call.error.get("limit") or {}
    named = (told.get("subject"), told.get("unit"), told.get("period"))
    amounts = round(Decimal(str(told.get("limit", 0))), 9), told.get("held", 0) > 0
    expected = (429, "budget_held", ("tenant:default", "usd", "day"), (limit, True))
    return (call.status, call.error.get("code"), named, amounts) == expected


@pytest.mark.shows("P2")
@pytest.mark.parametrize(("worker", "room", "at_once"), [(worker, *sizes) for worker, sizes in ROOMS.items()])
def test_as_many_calls_at_once_are_admitted_as_a_hard_limit_has_room_for_and_no_more(
    worker: str, room: int, at_once: int, make_rig: Callable[..., Rig], figures: Callable[..., None]
) -> None:
    more_files()
    rig = make_rig(worker, WEB_CONCURRENCY=str(WORKERS))
    bound, calls = bound_of_a_call(rig), []
    for repeat in range(1, REPEATS + 1):
        began = time.monotonic()
        spent = sum(row["cost_nano"] for row in rig.audit().rows)
        limit = (spent + room * bound) * NANO
        rig.operator("limits", "set", "tenant:default", "usd/day", f"{limit:f}")
        rig.provider.hold(True)
        burst = Burst(rig.service.port, [asking(number) for number in range(at_once)])
        wait_for(lambda: len(burst.calls) >= at_once - room, 3 * WITHIN)  # noqa: B023 - called at once
        time.sleep(0.5)  # for one too many
        refused, admitted, now = list(burst.calls), rig.provider.under_way(), standing(rig)
        rig.provider.hold(False)
        calls = burst.join()
        outcomes = Counter((call.status, call.error.get("code")) for call in calls)
        tell(f"repeat {repeat}: {admitted} of {at_once} admitted, {dict(outcomes)}, {time.monotonic() - began:.1f} s")
        assert admitted == room
        assert now == {"limit": limit, "spent": spent * NANO, "held": room * bound * NANO}
        assert [call for call in refused if not is_refused_for_now(call, limit)] == []
        assert outcomes == {(200, None): room, (429, "budget_held"): at_once - room}
        rows = rig.audit().rows
        assert len(rows) == 1 + repeat * room
        spent = sum(row["cost_nano"] for row in rows)
        assert standing(rig) == {"limit": limit, "spent": spent * NANO, "held": 0}
    figures(
        f"0 of {REPEATS} times were other than {room} of {at_once} calls at once let in, to {WORKERS} {worker} workers",
        REPEATS,
    )
