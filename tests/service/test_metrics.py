"""The metrics of all workers add up to what clients sent, whatever happens to workers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import requests

from tests.service.conftest import ASK, GOOD, Service

Start = Callable[..., Service]


def total(service: Service, name: str = "llm_gateway_requests_total") -> int:
    """The sum of all series of a counter."""
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    return int(sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name}{{")))


class Load:
    """Clients that ask one call after the other, each on a connection of its own, until they are stopped."""

    def __init__(self, service: Service, clients: int) -> None:
        self._service = service
        self._stop = threading.Event()
        self.sent = self.answered = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answered = requests.post(f"{self._service.url}/inference", json=ASK, headers=GOOD, timeout=20).ok
            except requests.RequestException:
                answered = False
            with self._lock:
                self.sent += 1
                self.answered += answered

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_totals_equal_what_was_sent_through_reloads_and_kills_of_four_workers(worker: str, start: Start) -> None:
    service = start(worker, WEB_CONCURRENCY="4")
    load = Load(service, 4)
    for _ in range(20):
        service.signal(signal.SIGHUP)
        time.sleep(0.2)
    load.stop()
    assert load.answered == load.sent > 50
    assert total(service) == load.sent
    assert total(service, "flask_http_request_duration_seconds_count") >= load.sent

    service.wait_until_ready()
    for pid in service.workers():
        os.kill(pid, signal.SIGKILL)
    service.wait_until_ready()
    assert total(service) == load.sent, "the dead are still counted"

    under_kills = Load(service, 4)
    for _ in range(5):
        os.kill(max(service.workers()), signal.SIGKILL)
        time.sleep(0.5)
    under_kills.stop()
    service.wait_until_ready()
    counted = total(service) - load.sent
    assert under_kills.answered <= counted <= under_kills.sent
    alone = "llm_gateway_inflight_requests 1.0"  # the scrape; of the request before it the end may be counted after it
    service.wait_for(lambda: alone in requests.get(f"{service.url}/metrics", timeout=5).text)
    counters = list(service.metrics_directory().glob("counter_worker-*.db"))
    started = sum(line["message"].startswith("Booting worker") for line in service.lines())
    assert len(counters) < started / 2, "later workers go on in the files of earlier ones"


def test_a_service_beside_it_is_undisturbed_and_a_restart_begins_at_zero(start: Start) -> None:
    service, beside = start(), start()
    for _ in range(5):
        beside.ask()
    service.ask()
    service.stop()
    again = start(port=service.port)
    assert (total(again), total(beside)) == (0, 5)


def test_metrics_move_to_a_port_of_their_own(worker: str, start: Start) -> None:
    port = Service.free_port()
    service = start(worker, METRICS_PORT=str(port), METRICS_TOKEN="scrape-me-please-1")
    service.ask()
    own = f"http://127.0.0.1:{port}"
    token = {"authorization": "Bearer scrape-me-please-1"}
    assert requests.get(f"{service.url}/metrics", headers=token, timeout=5).status_code == 404
    assert requests.get(f"{own}/metrics", timeout=5).status_code == 401
    assert "llm_gateway_requests_total{" in requests.get(f"{own}/metrics", headers=token, timeout=5).text
    for path in ("/health", "/"):
        assert requests.get(own + path, timeout=5).status_code == 404
    assert requests.post(f"{own}/inference", json=ASK, headers=GOOD, timeout=5).status_code == 404

    service.signal(signal.SIGHUP)
    service.wait_for(lambda: any(line["message"] == "configuration reloaded" for line in service.lines()))
    service.wait_until_ready()
    assert requests.get(f"{own}/metrics", headers=token, timeout=5).ok


def test_scrapes_without_pause_hold_no_request_up(worker: str, start: Start) -> None:
    service = start(worker, WEB_CONCURRENCY="1")
    service.ask()
    stop = threading.Event()

    def scrape() -> None:
        while not stop.is_set():
            assert requests.get(f"{service.url}/metrics", timeout=20).ok

    scraping = [threading.Thread(target=scrape) for _ in range(6)]
    for thread in scraping:
        thread.start()
    slowest = 0.0
    for _ in range(40):
        started = time.monotonic()
        assert service.ask().ok
        slowest = max(slowest, time.monotonic() - started)
    stop.set()
    for thread in scraping:
        thread.join()
    assert slowest < 1
