"""Whatever is killed, what its calls in flight held is free again, and the books are right: on one host within a
moment, over hosts when its lease has ended."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import empty_ledger
from tests.fakes.redis_server import RedisServer
from tests.faults.fleet import SOON, Bursts, Fleet, clients, fleet_in, kill_all, occupied
from tests.faults.inside import LEASE, PATIENCE
from tests.faults.rig import LONG, SEED, tell, wait_for
from tests.faults.test_kills import kill_any

KINDS = ("gevent", "gthread") if LONG else ("gevent",)
KILLS, RESTARTS = (30, 5) if LONG else (2, 1)
CLIENTS = 6  # of each gateway
ROOM = 8  # calls in flight
SECONDS = 30 if LONG else 4  # of a lease
PLENTY = "1000000000"
LIMITS = (("concurrency", str(ROOM)), ("tokens/hour", PLENTY), ("usd/day", "1000"), ("requests/day", PLENTY))


@pytest.fixture(
    scope="module", params=[(store, kind) for store in ("embedded", "shared") for kind in KINDS], ids="-".join
)
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    store, kind = request.param
    directory = tmp_path_factory.mktemp("killed")
    with ExitStack() as stack:
        options: dict[str, Any] = {"GRACEFUL_TIMEOUT": "5"}
        if store == "shared":
            redis = stack.enter_context(RedisServer(directory))
            options |= {
                "REDIS_URL": redis.url,
                PATIENCE: "2",
                "database_url": stack.enter_context(empty_ledger(request.getfixturevalue("postgres_server"))),
            }
            options |= {} if LONG else {LEASE: str(SECONDS)}
        yield stack.enter_context(fleet_in(directory, [kind] * (2 if store == "shared" else 1), **options))


def unknown(burst: Bursts) -> int:
    """How many calls were lost with their workers."""
    return sum(call.outcome == "unknown" for call in burst.calls)


def test_the_places_of_dead_workers_among_calls_in_flight_are_free_again_and_no_others(fleet: Fleet) -> None:
    tenant = fleet.tenant(*LIMITS)
    first = fleet.held_open(tenant.calls(3 * ROOM), ROOM)
    fleet.rigs.sort(key=lambda rig: sum(clients(rig.service).values()))  # one may have none of them
    began = time.monotonic()
    os.kill(occupied(fleet.rigs[-1].service), signal.SIGKILL)
    dead = fleet.rigs[:-1]
    for rig in dead:
        kill_all(rig.service)
        fleet.rigs.remove(rig)
    wait_for(lambda: set(tenant.in_flight()) == {ROOM - unknown(first)} != {ROOM}, SECONDS + SOON)
    lost = unknown(first)
    tell(f"the places of {lost} of {ROOM} calls were free {time.monotonic() - began:.1f} s after their end")
    second = fleet.held_open(tenant.calls(3 * ROOM), lost)
    fleet.provider.hold(False)
    assert Counter(call.outcome for call in first.join()) == Counter(ok=ROOM - lost, unknown=lost, fail=2 * ROOM)
    assert Counter(call.outcome for call in second.join()) == Counter(ok=lost, fail=3 * ROOM - lost)
    for rig in dead:
        rig.start_again()
        fleet.rigs.insert(0, rig)
    assert tenant.standing("concurrency")["spent"] == 0


@pytest.mark.shows("P1", "F1", "F2")
def test_gateways_and_workers_that_are_killed_under_load_lose_and_double_nothing(
    fleet: Fleet, figures: Callable[..., None]
) -> None:
    tenant, chance = fleet.tenant(*LIMITS), random.Random(SEED)
    with fleet.load(CLIENTS, tenant.key) as load:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.6))
            wait_for(lambda: kill_any(chance.choice(fleet.rigs), chance), SOON)
        for _ in range(RESTARTS):
            time.sleep(chance.uniform(0.1, 0.6))
            rig = chance.choice(fleet.rigs)
            port = rig.service.port
            kill_all(rig.service)
            rig.start_again(port)
        time.sleep(0.3)
    oracle = fleet.audit(load.calls)
    rows = tenant.rows(oracle)
    wait_for(lambda: set(tenant.in_flight()) == {0}, SECONDS + SOON)
    billed = {(line.call_id, line.attempt): line.prompt_tokens + line.completion_tokens for line in oracle.lines}
    tokens = sum(billed.get((row["call_id"], row["attempt"]), 0) for row in rows)  # what is counted need be no bound
    counted = tenant.standing("tokens")["spent"]
    tell(
        f"{KILLS} workers and {RESTARTS} gateways killed, {load.statuses()}; {tokens} tokens, {counted} of them counted"
    )
    assert counted >= tokens, "what the dead had taken counts"
    burst = fleet.held_open(tenant.calls(3 * ROOM), ROOM)
    fleet.provider.hold(False)
    burst.join()
    fleet.audit()
    kills = KILLS + RESTARTS
    figures(f"0 of {kills} kills, {KILLS} of workers and {RESTARTS} of whole gateways, lost or doubled a row", kills)
