"""Whatever becomes of Redis, no answer fails for it: each worker keeps to its share of the limits until it is back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.fakes.chaos_proxy import ChaosProcess
from tests.fakes.redis_server import RedisServer
from tests.faults.fleet import SOON, Fleet, degraded, fleet_in
from tests.faults.load import Call
from tests.faults.rig import LONG, WITHIN, tell, wait_for

pytestmark = pytest.mark.shows("P9", "F12")
KINDS = ("gevent", "gthread") if LONG else ("gevent",)
LIMIT = 60  # requests a minute
CLIENTS = 8
BEFORE, DURING, AFTER = (5.0, 20.0, 5.0) if LONG else (0.7, 1.0, 0.4)  # seconds
SLOW = 0.3  # seconds
FLAPS, BEAT = (5, 2.0) if LONG else (2, 0.5)
LIMITS = (("requests/minute", str(LIMIT)), ("tokens/hour", "1000000000"), ("concurrency", "100"))


class Site:
    """A gateway whose Redis, at the end of a slow line, has its limits and its cache."""

    def __init__(self, redis: RedisServer, line: ChaosProcess, fleet: Fleet) -> None:
        self.redis, self.line, self.fleet = redis, line, fleet
        (self.rig,) = fleet.rigs

    def begin(self, kind: str) -> None:
        deeds: dict[str, Callable[[], object]] = {
            "killed": self.redis.kill,
            "stopped": self.redis.pause,
            "slow": lambda: self.line.set(delay=SLOW),
            "emptied": self.redis.empty,
        }
        deeds[kind]()

    def end(self, kind: str) -> None:
        deeds: dict[str, Callable[[], object]] = {
            "killed": self.redis.start,
            "stopped": self.redis.resume,
            "slow": lambda: self.line.set(),
            "emptied": lambda: None,
        }
        deeds[kind]()

    def says(self, counters: str, cache: str) -> bool:
        """Whether all workers are ready, with these states of both."""
        told = self.fleet.get("/health/ready")
        assert {status for status, _ in told} == {200}, "without Redis it is not unready"
        wanted = {(counters, cache)}
        return {tuple(body["checks"][name]["state"] for name in ("counters", "cache")) for _, body in told} == wanted


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("redis")
    with RedisServer(directory) as redis, ChaosProcess(redis.port) as line:
        url = f"redis://127.0.0.1:{line.port}/0"
        with fleet_in(directory, [request.param], REDIS_URL=url, CACHE_TTL="60") as fleet:
            yield Site(redis, line, fleet)


def told(name: str, calls: Sequence[Call]) -> str:
    """How many calls there were, of them admitted, and how long they took in milliseconds."""
    answers = sorted(call.seconds for call in calls if call.status == 200)
    refusals = sorted(call.seconds for call in calls if call.status == 429)
    return f"{name}: " + ", ".join(
        f"{len(took)} {kind} (p50 {1000 * at(took, 0.5):.0f}, p99 {1000 * at(took, 0.99):.0f} ms)"
        for kind, took in (("answers", answers), ("refusals", refusals))
    )


def at(took: Sequence[float], part: float) -> float:
    return took[math.ceil(part * len(took)) - 1] if took else math.nan


def show(kind: str, calls: Sequence[Call], began: float, ended: float, figures: Callable[..., None]) -> None:
    parts = {
        "before": [call for call in calls if call.began < began],
        "during": [call for call in calls if began <= call.began < ended],
        "after": [call for call in calls if call.began >= ended],
    }
    figures(f"{kind}: " + "; ".join(told(name, part) for name, part in parts.items()), len(calls))


@pytest.mark.parametrize("kind", ["killed", "stopped", pytest.param("slow", marks=pytest.mark.shows("P10"))])
def test_without_redis_each_worker_keeps_to_its_share_and_no_answer_fails(
    kind: str, site: Site, figures: Callable[..., None]
) -> None:
    """What a Redis that was killed has counted is gone with it."""
    tenant = site.fleet.tenant(*LIMITS)
    before = degraded(site.rig.service, "counters")
    with site.fleet.load(CLIENTS, tenant.key) as load:
        time.sleep(BEFORE)
        site.begin(kind)
        began = time.monotonic()
        wait_for(lambda: site.says("degraded", "down"), SOON)
        noticed = time.monotonic() - began
        time.sleep(DURING)
        failures = degraded(site.rig.service, "counters") - before
        site.end(kind)
        ended = time.monotonic()
        wait_for(lambda: site.says("ok", "ok"), WITHIN)
        healed = time.monotonic() - ended
        time.sleep(AFTER)
    show(kind, load.calls, began, ended, figures)
    tell(f"{load.statuses()}; degraded {failures:.0f} times")
    calls, failed = len(load.calls), sum(call.status not in (200, 429) for call in load.calls)
    figures(f"{kind}: {failed} of {calls} calls failed; told {noticed:.2f} s after, well {healed:.2f} s after", calls)
    assert set(load.statuses()) == {(200, None), (429, "rate_limit_exceeded")}
    assert failures > 0
    meanwhile = sum(call.status == 200 for call in load.calls if began < call.began < ended)
    assert meanwhile > 0, "their shares were there"
    assert sum(call.status == 200 for call in load.calls) <= LIMIT * (3 if kind == "killed" else 2)
    site.rig.audit(load.calls)
    wait_for(lambda: set(tenant.in_flight()) == {0}, SOON)


def test_a_redis_that_forgets_everything_is_joined_again(site: Site, figures: Callable[..., None]) -> None:
    tenant = site.fleet.tenant(*LIMITS)
    before = degraded(site.rig.service, "counters")
    with site.fleet.load(CLIENTS, tenant.key) as load:
        time.sleep(BEFORE)
        site.begin("emptied")
        wait_for(lambda: degraded(site.rig.service, "counters") > before, SOON)
        wait_for(lambda: site.says("ok", "ok"), WITHIN)
        time.sleep(AFTER)
    admitted = sum(call.status == 200 for call in load.calls)
    figures(f"emptied: {admitted} calls admitted of at most {3 * LIMIT}", len(load.calls))
    assert set(load.statuses()) == {(200, None), (429, "rate_limit_exceeded")}
    assert admitted <= 3 * LIMIT
    site.rig.audit(load.calls)
    wait_for(lambda: set(tenant.in_flight()) == {0}, SOON)


def test_a_redis_that_comes_and_goes_makes_no_more_of_a_limit_than_one_that_is_away(
    site: Site, figures: Callable[..., None]
) -> None:
    tenant = site.fleet.tenant(*LIMITS)
    with site.fleet.load(CLIENTS, tenant.key) as load:
        for _ in range(FLAPS):
            time.sleep(BEAT)
            site.begin("stopped")
            time.sleep(BEAT)
            site.end("stopped")
        wait_for(lambda: site.says("ok", "ok"), WITHIN)
    admitted = sum(call.status == 200 for call in load.calls)
    figures(f"coming and going: {admitted} calls admitted of at most {2 * LIMIT}", len(load.calls))
    assert set(load.statuses()) == {(200, None), (429, "rate_limit_exceeded")}
    assert admitted <= 2 * LIMIT
    site.rig.audit(load.calls)
    wait_for(lambda: set(tenant.in_flight()) == {0}, SOON)
