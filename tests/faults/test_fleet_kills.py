"""Whatever is killed, what its calls in flight held is free again, and the books are right: on one host within a
moment, over hosts when its lease has ended."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fakes.redis_server import RedisServer
from tests.faults.fleet import SOON, Fleet, Tenant, fleet_in, held_open, kill_all
from tests.faults.leases import VARIABLE as LEASE
from tests.faults.rig import LONG, SEED, wait_for
from tests.faults.test_kills import FAILING, kill_any

KINDS = ("gevent", "gthread") if LONG else ("gevent",)
KILLS, RESTARTS = (30, 5) if LONG else (2, 1)
CLIENTS = 6  # of each gateway
ROOM = 8  # calls in flight
SECONDS = 30 if LONG else 6  # of a lease
PLENTY = "1000000000"
LIMITS = (("concurrency", str(ROOM)), ("tokens/hour", PLENTY), ("usd/day", "1000"), ("requests/day", PLENTY))


@pytest.fixture(params=[(store, kind) for store in ("embedded", "shared") for kind in KINDS], ids="-".join)
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    store, kind = request.param
    directory = tmp_path_factory.mktemp("killed")
    with ExitStack() as stack:
        options = {"options": FAILING, "GRACEFUL_TIMEOUT": "5"}
        if store == "embedded":
            yield stack.enter_context(fleet_in(directory, [kind], **options))
            return
        redis = stack.enter_context(RedisServer(directory))
        options |= {"REDIS_URL": redis.url, "database_url": request.getfixturevalue("postgres")}
        options |= {} if LONG else {LEASE: str(SECONDS)}
        yield stack.enter_context(fleet_in(directory, [kind, kind], **options))


def in_flight(tenant: Tenant) -> int:
    return int(tenant.standing("concurrency")["spent"])


def kill_holders(fleet: Fleet) -> None:
    """Kill a worker of the last gateway, and where there is another one, that one whole."""
    wait_for(lambda: kill_any(fleet.rigs[-1], random.Random(SEED)), SOON)
    if len(fleet.rigs) > 1:
        kill_all(fleet.rigs[0].service)


def test_the_places_of_the_dead_among_calls_in_flight_are_free_again_and_no_more_than_those(fleet: Fleet) -> None:
    tenant = fleet.tenant(*LIMITS)
    last = fleet.rigs[-1].service
    burst = held_open(fleet, tenant, 3 * ROOM, ROOM)
    kill_holders(fleet)
    began = time.monotonic()
    wait_for(lambda: last.workers() and len(last.workers()) == 2, SOON)
    lost = wait_for(lambda: sum(call.outcome == "unknown" for call in burst.calls), SOON)
