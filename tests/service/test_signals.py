"""Deploys, crashes and kills: what callers notice of them is nothing, or as little as can be."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.conftest import KEY
from tests.service.conftest import ASK, GOOD, Service

Start = Callable[..., Service]
Figures = Callable[..., None]


class Calls:
    """Calls in flight, each on a connection of its own, of which it is known when they arrived."""

    def __init__(self, service: Service, count: int, latency_ms: int) -> None:
        body = json.dumps({**ASK, "model": f"offline/echo?latency_ms={latency_ms}"})
        head = f"POST /inference HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\nContent-Type: application/json\r\n"
        self._connections = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", service.port), timeout=60)
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            self._connections.append(connection)

    def cut(self) -> int:
        """How many got no whole answer; waits for all of them."""
        answered = 0
        for connection in self._connections:
            with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
                length, good = 0, stream.readline().startswith(b"HTTP/1.1 200 ")
                while (line := stream.readline()) not in (b"\r\n", b""):
                    length = int(line.split(b":")[1]) if line.lower().startswith(b"content-length") else length
                answered += good and len(stream.read(length)) == length > 0
        return len(self._connections) - answered


@pytest.mark.shows("P11", "F3")
def test_calls_in_flight_outlive_twenty_reloads_and_a_stop_and_new_ones_are_served(
    worker: str, start: Start, figures: Figures
) -> None:
    service = start(worker, WEB_CONCURRENCY="2", GRACEFUL_TIMEOUT="60", DRAIN_DELAY="3")
    calls = Calls(service, 200, latency_ms=14_000)
    met: list[str] = []  # by new calls: nothing bad, or what it was
    stop = threading.Event()

    def go_on_asking() -> None:
        while not stop.is_set():
            try:
                answer = requests.post(f"{service.url}/inference", json=ASK, headers=GOOD, timeout=20)
                met.append(answer.text if answer.status_code != 200 else "")
            except requests.RequestException as error:
                met.append(repr(error))

    asking = [threading.Thread(target=go_on_asking) for _ in range(4)]
    for thread in asking:
        thread.start()
    for _ in range(20):
        service.signal(signal.SIGHUP)
        time.sleep(0.3)
    service.signal(signal.SIGTERM)
    service.wait_for(lambda: service.ready() == (503, "draining"))
    time.sleep(1)
    stop.set()
    for thread in asking:
        thread.join()
    assert [bad for bad in met if bad] == []
    assert calls.cut() == 0
    assert service.process.wait(20) == 0
    assert [line["message"] for line in service.lines()].count("configuration reloaded") > 2
    figures("0 of 200 calls in flight were cut by 20 HUPs in 6 s and a TERM", 200)
    figures(f"0 of {len(met)} new calls were refused meanwhile", len(met))


def test_a_stop_is_announced_while_the_service_still_serves(worker: str, start: Start) -> None:
    service = start(worker, DRAIN_DELAY="2")
    assert service.ready()[0] == 200
    started = time.monotonic()
    service.signal(signal.SIGTERM)
    service.wait_for(lambda: service.ready() == (503, "draining"), 1)
    assert service.ask().ok
    assert requests.get(f"{service.url}/health", timeout=5).ok, "it is alive"
    assert service.process.wait(10) == 0
    assert time.monotonic() - started > 2


def test_a_second_stop_ends_the_wait(start: Start) -> None:
    service = start(DRAIN_DELAY="60")
    service.signal(signal.SIGTERM)
    service.wait_for(lambda: service.ready() == (503, "draining"))
    service.signal(signal.SIGTERM)
    assert service.process.wait(10) == 0


def test_a_worker_killed_during_the_drain_is_replaced(start: Start) -> None:
    service = start(WEB_CONCURRENCY="1", DRAIN_DELAY="8")
    service.signal(signal.SIGTERM)
    service.wait_for(lambda: service.ready() == (503, "draining"))
    killed = service.workers()
    os.kill(min(killed), signal.SIGKILL)
    service.wait_for(lambda: service.workers() - killed, 3)
    service.wait_for(lambda: service.ready() == (503, "draining"), 3)


def test_a_reload_does_not_wait_for_old_workers_nor_keep_dead_ones_from_being_replaced(
    worker: str, start: Start
) -> None:
    service = start(worker, WEB_CONCURRENCY="2", GRACEFUL_TIMEOUT="60")
    old = service.workers()
    calls = Calls(service, 4, latency_ms=8000)
    time.sleep(0.5)
    service.signal(signal.SIGHUP)
    new = service.wait_for(lambda: len(service.workers() - old) == 2 and service.workers() - old)
    os.kill(min(new), signal.SIGKILL)
    service.wait_for(lambda: service.workers() - old - new, 4)
    assert service.ask().ok
    assert calls.cut() == 0


def test_a_killed_worker_is_replaced(worker: str, start: Start) -> None:
    service = start(worker)
    killed = service.workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    service.wait_for(lambda: len(service.workers() - killed) == 2)
    service.wait_until_ready()
    assert service.ask().ok


@pytest.mark.shows("F4")
def test_a_stopped_worker_does_not_stop_the_others(start: Start) -> None:
    service = start(WEB_CONCURRENCY="2")
    stopped = min(service.workers())
    service.pause(stopped)
    try:
        assert [service.ask().status_code for _ in range(30)] == [200] * 30
    finally:
        os.kill(stopped, signal.SIGKILL)


@pytest.mark.shows("F2")
def test_a_killed_master_leaves_nothing_behind(worker: str, start: Start) -> None:
    service = start(worker)
    workers, directory = service.workers(), service.metrics_directory()
    service.signal(signal.SIGKILL)
    service.process.wait()
    service.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 8)
    assert not directory.exists()
    again = start(worker, port=service.port)
    assert again.ask().ok


def test_metrics_of_a_service_that_was_killed_whole_are_cleared_away_by_the_next(start: Start) -> None:
    service, beside = start(), start()
    directory, other = service.metrics_directory(), beside.metrics_directory()
    for pid in (service.process.pid, *service.workers()):
        os.kill(pid, signal.SIGKILL)
    service.process.wait()
    assert directory.exists()
    start()
    service.wait_for(lambda: not directory.exists())
    assert other.exists(), "that one is in use"


def test_workers_that_cannot_start_again_do_not_end_a_service_that_runs(start: Start) -> None:
    service = start(WEB_CONCURRENCY="2", app="tests.fakes.fragile:app")
    survivor, killed = sorted(service.workers())
    (service.directory / "broken").touch()
    os.kill(killed, signal.SIGKILL)
    service.wait_for(lambda: any("a worker could not start" in line["message"] for line in service.lines()))
    assert service.ask().ok
    (service.directory / "broken").unlink()
    service.wait_for(lambda: len(service.workers()) == 2 and killed not in service.workers())
    assert survivor in service.workers()


@pytest.mark.shows("F19")
def test_a_reload_whose_workers_cannot_start_leaves_the_old_ones_serving(start: Start, figures: Figures) -> None:
    service = start(WEB_CONCURRENCY="2", app="tests.fakes.fragile:app")
    old = service.workers()
    (service.directory / "broken").touch()
    service.signal(signal.SIGHUP)
    service.wait_for(lambda: any("a worker could not start" in line["message"] for line in service.lines()))
    time.sleep(3)  # longer than a worker that was told to leave would stay
    assert old <= service.workers()
    assert service.ask().ok
    (service.directory / "broken").unlink()
    service.wait_for(lambda: not old & service.workers())
    assert service.ask().ok
    figures("0 of 1 reloads whose workers could not start ended the old ones", 1)


def test_a_stopping_service_refuses_new_connections_instead_of_letting_them_hang(worker: str, start: Start) -> None:
    service = start(worker, GRACEFUL_TIMEOUT="60")
    calls = Calls(service, 4, latency_ms=6000)
    time.sleep(0.5)
    service.signal(signal.SIGTERM)

    def refused() -> bool:
        try:
            requests.get(f"{service.url}/health", timeout=1)
        except requests.ConnectionError:
            return True
        except requests.Timeout:
            return False
        return False

    service.wait_for(refused, 4)
    assert calls.cut() == 0


def test_a_log_that_cannot_be_written_goes_to_standard_error_and_fails_nobody(start: Start, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    service = start(WEB_CONCURRENCY="1", LOG_FILE=str(logs / "log"))
    shutil.rmtree(logs)
    for number in (signal.SIGUSR1, signal.SIGHUP):
        service.signal(number)
        time.sleep(1)
    assert [service.ask().status_code for _ in range(3)] == [200] * 3
    service.wait_for(lambda: service.errors.read_text().count('"path":"/inference"') == 3)
    counted = requests.get(f"{service.url}/metrics", timeout=5).text
    line = next(line for line in counted.splitlines() if 'degraded_total{dependency="logs"}' in line)
    assert float(line.split()[-1]) >= 3


def test_the_soft_limit_of_open_files_is_raised(start: Start) -> None:
    service = start(files=(256, 1024))
    for pid in service.workers():
        limit = next(line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in line)
        assert limit.split()[3:5] == ["1024", "1024"]


def test_more_connections_than_files_kill_no_worker(worker: str, start: Start) -> None:
    service = start(worker, files=(48, 48), WEB_CONCURRENCY="1")
    workers = service.workers()
    calls = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(120)]
    time.sleep(2)
    for connection in calls:
        connection.close()
    service.wait_for(lambda: service.ask().ok)
    assert service.workers() == workers


def test_a_worker_class_that_the_service_cannot_run_is_refused_at_start(start: Start) -> None:
    service = start("sync", wait=False)
    assert service.process.wait(20) != 0
    assert service.errors.read_text() == "worker class sync: must be gevent or gthread\n"


def test_without_its_configuration_file_gunicorn_is_told_where_to_start(start: Start) -> None:
    service = start(wait=False, config=False)
    assert service.process.wait(20) != 0
    assert "gunicorn.conf.py was not read: start Gunicorn in the directory that holds it" in service.errors.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_an_interrupt_stops_at_once_even_while_draining(number: signal.Signals, start: Start) -> None:
    service = start(DRAIN_DELAY="60")
    service.signal(signal.SIGTERM)
    service.wait_for(lambda: service.ready() == (503, "draining"))
    calls = Calls(service, 3, latency_ms=60_000)
    time.sleep(0.5)
    service.signal(number)
    service.process.wait(10)
    assert calls.cut() == 3
    assert [line["path"] for line in service.lines() if line.get("error_code") == "cut_off"] == ["/inference"] * 3
