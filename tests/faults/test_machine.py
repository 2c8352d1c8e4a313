"""A machine that stops a process, steps its clock or has no more files to open: no worker dies of it, calls go on, and
the books are right."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.faults.fleet import occupied
from tests.faults.load import Burst, Load, request
from tests.faults.rig import DATABASE, LONG, SEED, Provider, Rig, wait_for
from tests.service.conftest import ASK, ROOT, Service

Figures = Callable[..., None]
KINDS = ("gevent", "gthread")
CLIENTS = 8
STOPS, SIGNS_OF_LIFE = (5, 5) if LONG else (1, 2)  # the latter in seconds
CALLS, STUCK = 20, 40
STEPS = (3600, -3600, 0, 86_400 * 40, 0)  # seconds that the clock is ahead, one after the other
LIMIT = 20
FILES, SOCKETS = 48, 120
TIMES = {"connect": 2, "first_byte": 0.5, "idle": 0.5, "total": 1.0}
CONFIG = """
default_model: ill/m
providers:
  ill: {{kind: openai, base_url: "{ill}/v1", api_key: no-secret-at-all, timeouts: {times}}}
  well: {{kind: openai, base_url: "{well}/v1", api_key: no-secret-at-all}}
"""


@pytest.mark.shows("F4")
@pytest.mark.parametrize("worker", KINDS if LONG else KINDS[1:])
def test_a_worker_that_is_stopped_is_replaced_and_others_serve_meanwhile(
    worker: str, make_rig: Callable[..., Rig], figures: Figures
) -> None:
    rig = make_rig(worker, GUNICORN_CMD_ARGS=f"--timeout {SIGNS_OF_LIFE}")
    took = []
    with Load(rig.service.port, CLIENTS, SEED, rig.key) as load:
        for _ in range(STOPS):
            time.sleep(0.5)
            before, began = rig.service.workers(), time.monotonic()
            stopped = wait_for(lambda: occupied(rig.service), 10)
            os.kill(stopped, signal.SIGSTOP)
            wait_for(lambda: stopped not in rig.service.workers() and len(rig.service.workers()) == 2, 30)  # noqa: B023
            took.append(time.monotonic() - began)
            assert len(before - rig.service.workers()) == 1
        time.sleep(0.5)
    rig.audit()
    calls, failed = len(load.calls), load.outcomes()["fail"]
    figures(f"{worker}: {failed} of {calls} calls failed; a worker was replaced after {max(took):.1f} s at most", calls)
    assert failed == 0
    assert load.outcomes()["unknown"] <= STOPS * CLIENTS


@pytest.mark.shows("F6", "P5")
@pytest.mark.parametrize("worker", KINDS)
def test_a_provider_that_is_stopped_meets_its_deadlines_and_another_one_answers_as_ever(
    worker: str, start: Callable[..., Service], tmp_path: Path, figures: Figures
) -> None:
    with ExitStack() as stack:
        ill, well = Provider(tmp_path / "ill"), Provider(tmp_path / "well")
        stack.callback(ill.stop)
        stack.callback(well.stop)
        service = start(worker, yaml=CONFIG.format(ill=ill.url, well=well.url, times=json.dumps(TIMES)), MODEL_NAME="")

        def ask(model: str, stream: bool = False) -> tuple[int, float]:
            began = time.monotonic()
            answer = service.ask({**ASK, "model": model, "stream": stream, "max_tokens": 9})
            return answer.status_code, time.monotonic() - began

        assert [ask("ill/m")[0], ask("well/m")[0]] == [200, 200]
        ill.signal(signal.SIGSTOP)
        stack.callback(ill.signal, signal.SIGCONT)
        with ThreadPoolExecutor(STUCK) as clients:
            stuck = [clients.submit(ask, "ill/m", bool(number % 2)) for number in range(STUCK)]
            others = [ask("well/m") for _ in range(CALLS)]
            found = [call.result() for call in stuck]
        ill.signal(signal.SIGCONT)
        wait_for(lambda: ask("ill/m")[0] == 200, 10)
    failed, slowest = sum(status != 200 for status, _ in others), max(seconds for _, seconds in others)
    figures(f"{worker}: {failed} of {CALLS} calls of another provider failed, the slowest took {slowest:.2f} s", CALLS)
    assert {status for status, _ in found} == {504}
    assert max(seconds for _, seconds in found) < TIMES["total"] + 2
    assert failed == 0
    assert slowest < 1


@pytest.mark.shows("F14")
@pytest.mark.parametrize("worker", KINDS if LONG else KINDS[:1])
def test_a_clock_that_is_set_again_and_again_ends_no_stream_and_opens_no_limit(
    worker: str, make_rig: Callable[..., Rig], tmp_path: Path, figures: Figures
) -> None:
    """The clock is the service's own, changed from within: tests/faults/clock."""
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    path = f"{ROOT / 'tests' / 'faults' / 'clock'}:{ROOT}"
    rig = make_rig(worker, ("--pieces", "20", "--pause-ms", "100"), PYTHONPATH=path, FAULTS_CLOCK=str(ahead))
    rig.limit("tenant:default", "usd/total", "1000")
    rig.limit("user:ann@default", "requests/minute", str(LIMIT))
    time.sleep(1.5)  # in which every worker hears of them
    stream = Burst(rig.service.port, [request("/inference", {**ASK, "user_id": "bob", "stream": True}, "0")])
    wait_for(rig.provider.under_way, 10)
    statuses = []
    for seconds in STEPS:
        draft = ahead.with_suffix(".new")
        draft.write_text(str(seconds))
        draft.rename(ahead)
        statuses += [rig.service.ask({**ASK, "user_id": "ann", "max_tokens": 9}).status_code for _ in range(LIMIT // 2)]
        assert rig.service.ask({**ASK, "max_tokens": 9}).status_code == 200, "who has no limit is not held up"
    assert rig.provider.under_way() == 1, "the stream has seen it all"
    assert [call.outcome for call in stream.join()] == ["ok"]
    admitted = statuses.count(200)
    figures(
        f"{worker}: {len(STEPS)} steps (an injected clock): {admitted} calls admitted by a limit of {LIMIT} a minute"
    )
    assert (admitted, set(statuses)) == (LIMIT, {200, 429})
    times = [row["held_ms"] for row in rig.audit(stream.calls).rows]
    assert max(times) - min(times) > 1000 * max(STEPS), "the clock was set"


@pytest.mark.shows("F15")
@pytest.mark.parametrize("worker", KINDS)
def test_more_connections_than_files_kill_no_worker_and_cut_no_stream(
    worker: str, start: Callable[..., Service], tmp_path: Path, figures: Figures
) -> None:
    service = start(worker, files=(FILES, FILES), MODEL_NAME="offline/echo?latency_ms=3000")
    workers = service.workers()
    with ThreadPoolExecutor(1) as client:
        under_way = client.submit(service.ask, connection="close")
        time.sleep(0.5)
        with ExitStack() as stack:
            for _ in range(SOCKETS):
                stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=5))
            time.sleep(1)
        assert under_way.result().status_code == 200
    service.wait_for(lambda: requests.get(f"{service.url}/health", timeout=5).ok)
    lost = len(workers - service.workers())
    figures(
        f"{worker}: {lost} of {len(workers)} workers died of {SOCKETS} connections with {FILES} files each", SOCKETS
    )
    assert lost == 0


@pytest.mark.shows("F13")
@pytest.mark.skipif(DATABASE != "sqlite", reason="PostgreSQL writes for them")
@pytest.mark.parametrize("worker", KINDS if LONG else KINDS[:1])
def test_workers_that_may_not_write_buy_nothing_and_go_on_as_soon_as_they_may(
    worker: str, make_rig: Callable[..., Rig], figures: Figures
) -> None:
    """Neither their ledger nor their log; what disks without room do is in test_disks.py."""
    rig = make_rig(worker)
    workers = rig.service.workers()

    def may_write(most: int) -> None:
        for pid in workers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    assert rig.service.ask().status_code == 200
    may_write(0)
    refused = [rig.service.ask().status_code for _ in range(CALLS)]
    may_write(resource.RLIM_INFINITY)
    wait_for(lambda: rig.service.ask().status_code == 200, 10)
    figures(f"no file may be written, {worker}: 0 of {CALLS} calls were made", CALLS, "F13")
    assert set(refused) == {503}
    assert rig.service.workers() == workers
    assert len(rig.audit().lines) == 2
