"""Two gateways on one Redis and one PostgreSQL are one: keys, budgets and limits hold over both, exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from urllib.parse import urlsplit

import pytest

from tests.conftest import empty_ledger
from tests.fakes.chaos_proxy import ChaosProcess
from tests.fakes.postgres_server import PostgresServer
from tests.fakes.redis_server import RedisServer
from tests.faults.fleet import SOON, Fleet, Tenant, fleet_in
from tests.faults.inside import PATIENCE
from tests.faults.oracle import holds
from tests.faults.rig import LONG, tell, wait_for

FLEETS = [("gevent", "gthread"), ("gevent", "gevent"), ("gthread", "gthread")][: 3 if LONG else 1]
AT_ONCE, ROOM = (400, 60) if LONG else (150, 20)
REPEATS = 10 if LONG else 1
CLIENTS = 8  # of each gateway
SECONDS = 20 if LONG else 1.5  # of load
SLOW = 0.002  # seconds
NANO = Decimal(10) ** -9
PLENTY = "1000000000"


@pytest.fixture(scope="module")
def line(postgres_server: PostgresServer) -> Iterator[ChaosProcess]:
    """The way to PostgreSQL."""
    with ChaosProcess(urlsplit(postgres_server.url()).port or 5432) as line:
        yield line


@pytest.fixture(scope="module", params=FLEETS, ids="+".join)
def fleet(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    line: ChaosProcess,
) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(directory))
        ledger = urlsplit(stack.enter_context(empty_ledger(postgres_server)))
        url = ledger._replace(netloc=ledger.netloc.replace(f":{ledger.port}", f":{line.port}")).geturl()
        variables = {"REDIS_URL": redis.url, PATIENCE: "5"}
        yield stack.enter_context(fleet_in(directory, request.param, database_url=url, **variables))


def bound_of_a_call(fleet: Fleet, tenant: Tenant) -> int:
    """What is held for one, in nano-USD."""
    fleet.provider.hold(True)
    burst = fleet.burst(tenant.calls(1))
    (held,) = wait_for(lambda: holds(fleet.rigs[0].ledger), SOON)
    fleet.provider.hold(False)
    assert burst.join()[0].outcome == "ok"
    bound: int = held["bound_nano"]
    return bound


def statuses(fleet: Fleet, key: str) -> set[int]:
    return {status for status, _ in fleet.get("/v1/models", key)}


def test_a_key_is_taken_by_every_worker_of_both_gateways_and_once_it_is_revoked_by_none(fleet: Fleet) -> None:
    one, other = fleet.rigs[0], fleet.rigs[-1]
    key = one.operator("keys", "create", "--tenant", fleet.tenant().name).strip()
    began = time.monotonic()
    wait_for(lambda: statuses(fleet, key) == {200}, SOON)
    known = time.monotonic() - began
    other.operator("keys", "revoke", key.split("_")[1])
    began = time.monotonic()
    wait_for(lambda: statuses(fleet, key) == {401}, SOON)
    tell(f"taken by all {known:.2f} s after it was made, refused by all {time.monotonic() - began:.2f} s after its end")
    assert statuses(fleet, key) == {401}


@pytest.mark.shows("P2")
def test_both_gateways_admit_as_many_calls_at_once_as_a_budget_has_room_for_and_no_more(
    fleet: Fleet, line: ChaosProcess, figures: Callable[..., None]
) -> None:
    """Their transactions are at work at the same time, since each takes a while."""
    tenant = fleet.tenant(("usd/day", "1"))
    bound = bound_of_a_call(fleet, tenant)
    for repeat in range(1, REPEATS + 1):
        spent = sum(row["cost_nano"] for row in tenant.rows(fleet.audit()))
        limit = (spent + ROOM * bound) * NANO
        fleet.rigs[0].limit(f"tenant:{tenant.name}", "usd/day", f"{limit:f}")
        began = time.monotonic()
        line.set(delay=SLOW)
        try:
            burst = fleet.held_open(tenant.calls(AT_ONCE), ROOM)
        finally:
            line.set()
        assert fleet.provider.under_way() == ROOM
        standing = tenant.standing("usd")
        fleet.provider.hold(False)
        burst.join()
        tell(f"repeat {repeat}: {burst.statuses()}, {time.monotonic() - began:.1f} s")
        assert burst.statuses() == {(200, None): ROOM, (429, "budget_held"): AT_ONCE - ROOM}
        assert in_nano(standing) == {"limit": limit / NANO, "spent": spent, "held": ROOM * bound}
        rows = tenant.rows(fleet.audit())
        assert len(rows) == 1 + repeat * ROOM
        spent = sum(row["cost_nano"] for row in rows)
        assert in_nano(tenant.standing("usd")) == {"limit": limit / NANO, "spent": spent, "held": 0}
    figures(f"0 of {REPEATS} times were other than {ROOM} of {AT_ONCE} calls let in to two gateways", REPEATS)


def in_nano(standing: dict[str, float]) -> dict[str, Decimal]:
    return {name: round(Decimal(str(standing[name])) / NANO) for name in ("limit", "spent", "held")}  # type: ignore[misc]


def test_both_gateways_admit_as_many_requests_a_minute_as_a_limit_says(fleet: Fleet) -> None:
    tenant = fleet.tenant(("requests/minute", str(ROOM)))
    burst = fleet.burst(tenant.calls(AT_ONCE))
    burst.join()
    tell(f"{burst.statuses()}")
    assert burst.statuses() == {(200, None): ROOM, (429, "rate_limit_exceeded"): AT_ONCE - ROOM}
    assert tenant.standing("requests")["spent"] == ROOM


def test_both_gateways_have_as_many_calls_in_flight_as_a_limit_says(fleet: Fleet) -> None:
    tenant = fleet.tenant(("concurrency", str(ROOM)))
    for _ in range(2):  # places are given back
        burst = fleet.held_open(tenant.calls(AT_ONCE), ROOM)
        assert fleet.provider.under_way() == ROOM
        assert tenant.standing("concurrency")["spent"] == ROOM
        fleet.provider.hold(False)
        burst.join()
        assert burst.statuses() == {(200, None): ROOM, (429, "rate_limit_exceeded"): AT_ONCE - ROOM}
    assert tenant.standing("concurrency")["spent"] == 0


def test_after_any_load_the_counters_say_what_the_ledger_says_and_nothing_is_in_flight(fleet: Fleet) -> None:
    tenant = fleet.tenant(("concurrency", "5"), ("tokens/hour", PLENTY), ("requests/hour", PLENTY))
    fleet.provider.most()
    with fleet.load(CLIENTS, tenant.key) as load:
        time.sleep(SECONDS)
    calls, most = load.calls, fleet.provider.most()
    rows = tenant.rows(fleet.audit(calls))
    tokens = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)
    tell(f"{len(calls)} calls, {load.statuses()}, {most} at once, {tokens} tokens")
    assert {call.status for call in calls} == {200, 429}
    assert most <= 5
    assert [tenant.standing(unit)["spent"] for unit in ("tokens", "requests", "concurrency")] == [tokens, len(rows), 0]
