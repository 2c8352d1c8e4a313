"""Whatever becomes of PostgreSQL, nothing is bought that cannot be written down, and nobody is let in by guess; once it
is back all goes on, and the books are right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.fakes.postgres_server import PostgresServer
from tests.fakes.redis_server import RedisServer
from tests.faults.fleet import SOON, Fleet, Tenant, fleet_in
from tests.faults.load import Call
from tests.faults.rig import LONG, tell, wait_for
from tests.faults.upstream import read_record

KINDS = ("gevent", "gthread") if LONG else ("gevent",)
REPEATS = 3 if LONG else 1
CLIENTS = 8
BEFORE, DURING, AFTER = (2.0, 8.0, 2.0) if LONG else (0.5, 0.5, 0.5)  # seconds
NOTICED = 30.0  # seconds: a server that hangs is waited for
LIMITS = (("usd/day", "1000"), ("requests/minute", "1000000"), ("tokens/hour", "1000000000"), ("concurrency", "100"))
STRANGER = "gw_000000000000_" + "0" * 43


class Site:
    """A gateway with its ledger on a server of its own."""

    def __init__(self, server: PostgresServer, fleet: Fleet) -> None:
        self.server, self.fleet = server, fleet
        (self.rig,) = fleet.rigs

    def ready(self) -> set[tuple[int, str, str]]:
        """What the workers say of themselves and of the ledger."""
        told = self.fleet.get("/health/ready")
        return {(status, body["status"], body["checks"]["ledger"]["state"]) for status, body in told}

    def ask(self, key: str) -> requests.Response:
        body = {"prompt": "Hello", "user_id": "ann", "max_tokens": 9}
        return requests.post(f"{self.rig.service.url}/inference", json=body, headers={"x-api-key": key}, timeout=60)


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("postgres")
    with (
        PostgresServer() as server,
        RedisServer(directory) as redis,
        fleet_in(directory, [request.param], database_url=server.url(), REDIS_URL=redis.url) as fleet,
    ):
        yield Site(server, fleet)


def fault(server: PostgresServer, kind: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """How it begins and how it ends."""
    deeds: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "killed": (server.kill, server.start),
        "stopped": (server.pause, server.resume),
        "shut down": (server.stop, server.start),
    }
    return deeds[kind]


def unavailable(call: Call) -> bool:
    told = (call.status, call.error.get("code"))
    return told == (503, "ledger_unavailable") and (call.retry_after or 0) >= 1


@pytest.mark.shows("P1")
@pytest.mark.parametrize("kind", ["killed", "shut down", "stopped"])
def test_without_its_ledger_a_gateway_buys_nothing_and_lets_nobody_in_until_it_is_back(
    kind: str, site: Site, figures: Callable[..., None]
) -> None:
    tenant = site.fleet.tenant(*LIMITS)
    begin, end = fault(site.server, kind)
    with site.fleet.load(CLIENTS, tenant.key) as load:
        for _ in range(REPEATS):
            time.sleep(BEFORE)
            begin()
            began = time.monotonic()
            wait_for(lambda: site.ready() == {(503, "unavailable", "down")}, NOTICED)
            noticed = time.monotonic() - began
            bought = bought_by_now(site)
            time.sleep(DURING)
            refuses_everybody(site, tenant, for_long=LONG or kind == "stopped")
            assert bought_by_now(site) == bought
            end()
            ended = time.monotonic()
            wait_for(lambda: {status for status, *_ in site.ready()} == {200}, NOTICED)
            wait_for(lambda: answered_after(load.calls, ended), NOTICED)  # noqa: B023 - called at once
            tell(f"{kind}: told {noticed:.1f} s after, well {time.monotonic() - ended:.1f} s after; {load.statuses()}")
            time.sleep(AFTER)
    wrong = [call for call in load.calls if not (call.outcome == "ok" or unavailable(call))]
    assert wrong == []
    site.rig.audit(load.calls)
    wait_for(lambda: set(tenant.in_flight()) == {0}, SOON)
    calls = len(load.calls)
    figures(f"PostgreSQL {kind}: 0 of {calls} calls got anything but an answer or a 503", calls)


def bought_by_now(site: Site) -> int:
    """How many calls the provider bills, when those that it had begun are over."""
    wait_for(lambda: not site.fleet.provider.under_way(), SOON)
    return len(read_record(site.fleet.provider.record))


def refuses_everybody(site: Site, tenant: Tenant, for_long: bool) -> None:
    """A key that may have been revoked is not let in; after a while one that nobody knows is not called wrong either."""
    answer = site.ask(tenant.key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert site.ask(STRANGER).status_code in (401, 503)
    if for_long:
        wait_for(lambda: {status for status, _ in site.fleet.get("/v1/models", STRANGER)} == {503}, SOON)
        assert {status for status, _ in site.fleet.get("/v1/models", tenant.key)} == {503}


def answered_after(calls: list[Call], moment: float) -> bool:
    return any(call.outcome == "ok" and call.began > moment for call in calls)
