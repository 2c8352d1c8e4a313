"""A request may wait for its limit instead of being refused."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from gateway.concurrency import Task
from tests.api.books import FILE, Books, used
from tests.conftest import KEY
from tests.fakes.upstream import Received, Upstream, answers


@pytest.fixture
def patient(make_app: Callable[..., Flask], upstream: Upstream, ledger_file: Path) -> Books:
    upstream.script = answers(used(8, 3))
    yaml = FILE.format(url=upstream.base_url) + "overload: {limit_wait_seconds: 3}\n"
    return Books(make_app(yaml, MODEL_NAME="m", CACHE_TTL="0").test_client(), upstream, ledger_file)


def test_it_waits_until_a_sliding_limit_has_room_and_its_wait_is_no_overhead(
    patient: Books, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.request")
    patient.limit("tenant:default", "requests/second", "1")
    began = time.monotonic()
    assert [patient.ask().status_code for _ in range(3)] == [200, 200, 200]
    assert time.monotonic() - began >= 1.9
    line: Any = vars(caplog.records[-1])["fields"]
    assert line["duration_ms"] >= 900 > line["overhead_ms"]


def test_it_is_refused_at_once_where_its_wait_would_be_too_long_or_in_vain(patient: Books) -> None:
    patient.limit("tenant:default", "requests/minute", "1")
    patient.limit("user:ann@default", "concurrency", "0")
    patient.limit("user:bob@default", "requests/day", "0")
    began = time.monotonic()
    assert patient.ask().status_code == 200
    assert [patient.ask(user=user).status_code for user in ("eve", "ann", "bob")] == [429, 429, 429]
    assert time.monotonic() - began < 2


def test_it_is_refused_at_once_where_the_client_would_not_wait_so_long(patient: Books) -> None:
    patient.limit("tenant:default", "requests/second", "1")
    patient.ask()
    began = time.monotonic()
    refused = patient.client.post(
        "/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "Hello"}]},
        headers={"x-api-key": KEY, "x-gateway-timeout-ms": "900"},
    )
    assert (refused.status_code, time.monotonic() - began < 0.8) == (429, True)


@pytest.fixture
def held(patient: Books, upstream: Upstream) -> Iterator[threading.Event]:
    """The upstream answers only once this has been set."""
    go_on, script = threading.Event(), upstream.script

    def answer(connection: Any, request: Received) -> bool:
        go_on.wait(10)
        return script(connection, request)

    upstream.script = answer
    yield go_on
    go_on.set()


@pytest.mark.parametrize(("rate", "value"), [("concurrency", "1"), ("usd/day", "0.0008")])
def test_it_waits_for_calls_in_flight_to_end(rate: str, value: str, patient: Books, held: threading.Event) -> None:
    patient.limit("tenant:default", rate, value)
    asked = [Task(lambda: patient.ask(model="dear", max_tokens=200).status_code) for _ in range(2)]
    time.sleep(0.3)
    assert len(patient.sent) == 1, "the other one waits"
    held.set()
    for task in asked:
        task.wait()
    assert [task.result() for task in asked] == [200, 200]


def test_what_waits_in_vain_is_refused_and_counted_once(patient: Books, held: threading.Event) -> None:
    patient.limit("tenant:default", "concurrency", "1")
    running = Task(lambda: patient.ask(model="dear").status_code)
    time.sleep(0.2)
    began = time.monotonic()
    assert patient.ask().status_code == 429
    assert 2.5 < time.monotonic() - began < 4
    metrics = patient.client.get("/metrics").text
    assert 'llm_gateway_limit_rejections_total{period="none",tenant="default",unit="concurrency"} 1.0' in metrics
    held.set()
    running.wait()
    assert patient.ask().status_code == 200
