"""A ledger that does not work stops calls, and nothing else, until it works again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import requests

from gateway.accounting import reports
from gateway.stores.ledger.sqlite import SqliteDatabase
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


@pytest.mark.parametrize("worker", ["gevent", "gthread"])
def test_nobody_is_refused_for_what_calls_of_his_own_held_that_have_ended(worker: str, start: Start) -> None:
    service = start(worker, WEB_CONCURRENCY="2")
    rule = partial(reports.set_limit, subject="user:*@default", rate="tokens/day", value="30000", mode="hard")
    SqliteDatabase(service.directory / "data").transact([rule])
    time.sleep(1)  # every worker knows it by then
    refused = []
    for number in range(40):
        for most in (1, 29_500):  # a new connection each, so mostly with the other worker
            body = {"prompt": "Hi", "user_id": f"user {number}", "model": "offline/echo", "max_tokens": most}
            answer = service.ask(body)
            refused += [answer.text] if answer.status_code != 200 else []
    assert refused == []
