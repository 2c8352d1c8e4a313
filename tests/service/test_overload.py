"""More than a worker can take on: it answers as many as it can, refuses the others at once, and is itself again after."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import requests

from gateway.policy import keys
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.conftest import KEY
from tests.fakes.open_loop import Met, OpenLoop, percentile
from tests.service.conftest import ASK, GOOD, Service

Start = Callable[..., Service]

PLACES = 20
SLOW = "offline/echo?latency_ms=1000"
BOUND = f"overload: {{max_in_flight: {PLACES}}}"


def key_of_another_tenant(service: Service) -> str:
    with closing(SqliteDatabase(service.directory / "data")) as database:
        outcomes = database.transact(
            [lambda tx: keys.create_tenant(tx, "quiet", 0), lambda tx: keys.create_key(tx, "quiet", 0, name="ci")]
        )
    key = str(outcomes[1].result)
    service.wait_for(lambda: requests.get(f"{service.url}/v1/models", headers={"x-api-key": key}, timeout=5).ok)
    return key


def gauge(service: Service, name: str) -> int:
    lines = requests.get(f"{service.url}/metrics", timeout=10).text.splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith(f"llm_gateway_{name} "))))


def all_places_are_free(service: Service, places: int) -> bool:
    """Whether so many calls fit at once, and nothing is in flight but the look at it."""
    with ThreadPoolExecutor(places) as at_once:
        answers = list(at_once.map(lambda _: service.ask({**ASK, "model": SLOW}).status_code, range(places)))
    return answers == [200] * places and gauge(service, "inflight_requests") == 1


def of(met: list[Met], status: int) -> list[float]:
    return [one.seconds for one in met if one.status == status]


def test_five_times_the_bound_costs_no_goodput_and_the_others_are_refused_at_once(worker: str, start: Start) -> None:
    service = start(worker, BOUND, WEB_CONCURRENCY="1")
    met = OpenLoop(service.port, KEY, SLOW, load=5 * PLACES, seconds=4).join()
    answered, shed = of(met, 200), of(met, 503)
    assert len(answered) + len(shed) == len(met)
    assert len(answered) >= 0.9 * 4 * PLACES
    assert len(shed) >= 0.7 * len(met)
    assert percentile(shed, 0.5) < 0.1
    assert percentile(answered, 0.99) < 4, "who waits for a place has one soon"
    assert all((one.retry_after or 0) >= 1 for one in met if one.status == 503)
    service.wait_for(lambda: all_places_are_free(service, PLACES), 5)
    assert gauge(service, "queued_requests") == 0


def test_a_noisy_tenant_leaves_room_for_another(worker: str, start: Start) -> None:
    service = start(worker, BOUND, WEB_CONCURRENCY="1")
    key = key_of_another_tenant(service)
    noisy = OpenLoop(service.port, KEY, SLOW, load=5 * PLACES, seconds=4)
    quiet = OpenLoop(service.port, key, SLOW, load=1.5, seconds=4)
    assert {one.status for one in quiet.join()} == {200}
    assert len(of(noisy.join(), 200)) >= 0.5 * 4 * PLACES


def test_threads_are_left_to_refuse_with(start: Start) -> None:
    service = start("gthread", WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS="--threads 20")
    with ThreadPoolExecutor(40) as at_once:
        asked = [at_once.submit(service.ask, {**ASK, "model": "offline/echo?latency_ms=3000"}) for _ in range(40)]
        service.wait_for(lambda: sum(call.done() for call in asked) >= 40 - 16 - 2, 2.5)
        assert requests.get(f"{service.url}/health", timeout=1).ok
        statuses = sorted(call.result().status_code for call in asked)
    assert statuses.count(200) in range(16, 19)
    assert set(statuses) == {200, 503}


def connected(service: Service) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)


def send(connection: http.client.HTTPConnection, padding: int = 0) -> None:
    headers = {**GOOD, "content-type": "application/json"}
    connection.request("POST", "/inference", json.dumps(ASK) + " " * padding, headers)


@pytest.fixture
def full(worker: str, start: Start) -> Service:
    """A worker whose only place is taken for two seconds; one call may wait for it."""
    yaml = "overload: {max_in_flight: 1, max_queue: 1}"
    service = start(worker, yaml, WEB_CONCURRENCY="1")
    OpenLoop(service.port, KEY, "offline/echo?latency_ms=2000", load=1, seconds=0.1)
    service.wait_for(lambda: gauge(service, "inflight_requests") == 2)
    return service


def test_who_leaves_while_it_waits_gives_its_place_in_the_queue_up(full: Service) -> None:
    with closing(connected(full)) as leaving:
        send(leaving)
        full.wait_for(lambda: gauge(full, "queued_requests") == 1)
        assert full.ask().status_code == 503, "the queue is full"
    full.wait_for(lambda: gauge(full, "queued_requests") == 0, 1)
    assert full.ask().status_code == 200, "it has waited"
    (left,) = [line for line in full.lines() if line.get("status") == 499]
    assert (left["error_code"], left["attempts"]) == ("client_left", 0)


def test_a_connection_can_be_used_again_after_a_refusal(full: Service) -> None:
    with closing(connected(full)) as waiting, closing(connected(full)) as refused:
        send(waiting)
        full.wait_for(lambda: gauge(full, "queued_requests") == 1)
        send(refused)
        answer = refused.getresponse()
        assert (answer.status, json.loads(answer.read())["error"]["code"]) == (503, "overloaded")
        used = refused.sock
        send(refused, padding=200_000)
        answer = refused.getresponse()
        assert (answer.status, refused.sock or used) == (503, used)
        assert answer.headers["connection"] == "close", "its body is not read"
        assert waiting.getresponse().status == 200


def test_what_waits_when_its_worker_is_to_stop_is_answered(full: Service) -> None:
    with closing(connected(full)) as waiting:
        send(waiting)
        full.wait_for(lambda: gauge(full, "queued_requests") == 1)
        full.process.terminate()
        assert waiting.getresponse().status == 200
