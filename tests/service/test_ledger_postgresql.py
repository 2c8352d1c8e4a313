"""A service whose ledger is in PostgreSQL: calls wait for nobody but it, and nothing else waits for it at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import pytest
import requests

from gateway.stores.ledger import migrate
from tests.fakes.ledgers import rows
from tests.service.conftest import Service

Start = Callable[..., Service]


def test_while_another_host_keeps_the_lock_calls_are_refused_and_everything_else_goes_on(
    postgres: str, start: Start
) -> None:
    service = start(WEB_CONCURRENCY="1", DATABASE_URL=postgres)
    assert service.ask().status_code == 200
    refused: list[requests.Response] = []
    with psycopg.connect(postgres) as other:
        other.execute(f"SELECT pg_advisory_lock({migrate.LOCK})".encode())
        asking = threading.Thread(target=lambda: refused.append(service.ask()))
        asking.start()
        waits = []
        while asking.is_alive():
            begun = time.monotonic()
            assert requests.get(f"{service.url}/metrics", timeout=5).ok
            waits.append(time.monotonic() - begun)
            time.sleep(0.1)
        begun = time.monotonic()
        refused.append(service.ask())
        assert time.monotonic() - begun < 2, "what is known to stand still is not waited for again"
    other.close()
    told = [(answer.status_code, answer.json()["error"]["code"]) for answer in refused]
    assert told == [(503, "ledger_unavailable")] * 2
    assert max(waits) < 2
    service.wait_for(lambda: service.ask().status_code == 200, 20)
    service.process.terminate()
    service.process.wait(10)
    assert rows(postgres, "SELECT (SELECT count(*) FROM leases), (SELECT count(*) FROM holds)") == [(0, 0)]


def test_a_server_that_cannot_be_reached_stops_the_start_with_one_line(start: Start) -> None:
    with pytest.raises(AssertionError) as failure:
        start(DATABASE_URL="postgresql://u:s3cret-pass@127.0.0.1:1/x")
    assert "DATABASE_URL: PostgreSQL: Connection refused" in str(failure.value)
    assert "s3cret" not in str(failure.value)
    assert "Traceback" not in str(failure.value)
