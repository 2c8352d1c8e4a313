"""A ledger that does not work stops calls, and nothing else, until it works again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.service.conftest import Service

Start = Callable[..., Service]


@contextlib.contextmanager
def locked_by_a_shell(file: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def locked_by_a_worker(file: Path) -> Iterator[None]:
    lock = os.open(f"{file}.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield
    os.close(lock)


@pytest.mark.parametrize(
    ("worker", "lock"),
    [("gevent", locked_by_a_shell), ("gevent", locked_by_a_worker), ("gthread", locked_by_a_worker)],
)
def test_while_the_ledger_is_locked_calls_are_refused_and_everything_else_goes_on(
    worker: str, lock: Callable[[Path], contextlib.AbstractContextManager[None]], start: Start
) -> None:
    service = start(worker, WEB_CONCURRENCY="1")
    file = service.directory / "data" / "ledger.sqlite"
    assert service.ask().status_code == 200
    refused: list[requests.Response] = []
    with lock(file):
        asking = threading.Thread(target=lambda: refused.append(service.ask()))
        asking.start()
        waits = []
        while asking.is_alive():
            begun = time.monotonic()
            assert requests.get(f"{service.url}/health", timeout=5).ok
            waits.append(time.monotonic() - begun)
            time.sleep(0.05)
        begun = time.monotonic()
        refused.append(service.ask())
        assert time.monotonic() - begun < 2, "what is known to stand still is not waited for again"
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in refused] == [
        (503, "ledger_unavailable")
    ] * 2
    assert max(waits) < 2
    service.wait_for(lambda: service.ask().status_code == 200, 20)
    told = [line["message"] for line in service.lines() if line["logger"] == "gateway.accounting.ledger"]
    assert told[0].startswith("the ledger cannot be written, and calls are refused until it can")
    assert told[1:] == ["the ledger can be written again"]


def test_a_reader_of_the_ledger_keeps_no_call_waiting(start: Start) -> None:
    service = start(WEB_CONCURRENCY="1")
    file = service.directory / "data" / "ledger.sqlite"
    service.ask()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM usage").fetchall()
        until = time.monotonic() + 2.5  # the keeper's turns
        while time.monotonic() < until:
            begun = time.monotonic()
            assert service.ask().status_code == 200
            assert time.monotonic() - begun < 2
