"""An answer that was bought once is given again, by any worker, and never at the price of an error or a wait."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fakes.redis_server import RedisServer
from tests.fakes.upstream import Upstream
from tests.service.conftest import ASK, GOOD, Service
from tests.service.test_fairness import slowest_health

Start = Callable[..., Service]


@pytest.fixture(params=["embedded", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of either store."""
    if request.param == "embedded":
        yield {"CACHE_TTL": "60"}
    else:
        with RedisServer(tmp_path) as server:
            yield {"CACHE_TTL": "60", "REDIS_URL": server.url}


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def metric(service: Service, series: str) -> float:
    text = requests.get(f"{service.url}/metrics", timeout=5).text
    return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(series + " ")), 0.0)


def result(answer: requests.Response) -> tuple[Any, Any]:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-gateway-cache"], answer.json()["cached"]


def test_a_second_identical_call_is_answered_by_another_worker_from_the_cache(
    worker: str, store: dict[str, str], start: Start, upstream: Upstream
) -> None:
    service = start(worker, OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o", WEB_CONCURRENCY="2", **store)
    first, second = sorted(service.workers())
    service.pause(second)
    bought = service.ask()
    os.kill(second, signal.SIGCONT)
    service.pause(first)
    again = service.ask()
    os.kill(first, signal.SIGCONT)
    assert (result(bought), result(again)) == (("miss", False), ("hit", True))
    assert len(upstream.received) == 1
    assert bought.json()["estimated_cost_usd"] > 0
    changed = {"estimated_cost_usd": 0, "usage_source": "cache", "cached": True}
    varying = {"duration_ms": 0, "request_id": ""}
    assert again.json() | varying == bought.json() | changed | varying
    assert (again.headers["x-gateway-cost-usd"], again.headers["x-gateway-attempts"]) == ("0", "0")
    assert again.headers["x-gateway-model"] == "openai/gpt-4o"
    assert metric(service, 'llm_gateway_cache_requests_total{result="hit"}') == 1


def test_kept_answers_outlive_workers_and_reloads(start: Start) -> None:
    service = start(CACHE_TTL="60")
    service.ask()
    killed = service.workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    service.wait_for(lambda: len(service.workers() - killed) == 2)
    service.wait_until_ready()
    assert result(service.ask()) == ("hit", True)


def test_a_redis_that_dies_hangs_or_fills_up_costs_callers_nothing_and_heals(
    worker: str, start: Start, redis: RedisServer
) -> None:
    service = start(worker, CACHE_TTL="60", REDIS_URL=redis.url, WEB_CONCURRENCY="1")
    service.ask()
    assert result(service.ask()) == ("hit", True)
    for fault in (redis.pause, redis.kill):
        fault()
        slowest = 0
        for number in range(20):
            answer = service.ask({"prompt": f"{fault} {number}", "user_id": "u"})
            assert result(answer) == ("miss", False)
            slowest = max(slowest, answer.json()["duration_ms"])
        assert slowest < 400, "50 ms once, on a machine that may be busy"
        assert service.ready() == (200, "degraded")
        assert metric(service, 'llm_gateway_degraded_total{dependency="cache"}') > 0
        if fault == redis.pause:
            redis.resume()
            service.wait_for(lambda: result(service.ask()) == ("hit", True))
    redis.start()
    service.wait_for(lambda: result(service.ask()) == ("hit", True), 20)
    assert service.ready() == (200, "ready")
    lines = [line["message"] for line in service.lines() if line.get("logger") == "gateway.cache.responses"]
    assert len(lines) == 4, "one line for each change"


def test_a_busy_worker_does_not_take_its_own_queue_for_a_slow_store(
    worker: str, store: dict[str, str], start: Start
) -> None:
    service = start(worker, WEB_CONCURRENCY="1", **store)
    service.ask()
    results: list[Any] = []

    def ask() -> None:
        with requests.Session() as session:
            for number in range(12):
                body = ASK if number % 3 else {**ASK, "prompt": uuid.uuid4().hex}
                answer = session.post(f"{service.url}/inference", json=body, headers=GOOD, timeout=20)
                results.append((body == ASK, answer.headers["x-gateway-cache"]))

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    repeated = [result for again, result in results if again]
    assert repeated.count("hit") > 0.9 * len(repeated), "the machine may be busy too, so that a store is really slow"


def test_a_cache_that_cannot_be_made_is_a_miss(start: Start, tmp_path: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    (tmp_path / f"cache-{boot}").touch()
    service = start(CACHE_TTL="60", DATA_DIR=str(tmp_path), WEB_CONCURRENCY="1")
    assert [result(service.ask()) for _ in range(3)] == [("miss", False)] * 3
    assert service.ready()[1] == "degraded"


def test_answers_from_the_cache_let_others_have_their_turn(worker: str, start: Start) -> None:
    service = start(worker, CACHE_TTL="60", WEB_CONCURRENCY="1")
    service.ask()
    stop = threading.Event()

    def ask() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                answer = session.post(f"{service.url}/inference", json={"prompt": "Hello", "user_id": "u-1"},
                                      headers={"x-api-key": "test-key-0123456789"}, timeout=20)  # fmt: skip
                assert answer.headers["x-gateway-cache"] == "hit"

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for thread in asking:
        thread.start()
    time.sleep(0.2)
    slowest = slowest_health(service, 2)
    stop.set()
    for thread in asking:
        thread.join()
    assert slowest < 1
