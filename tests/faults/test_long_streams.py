"""A call keeps its hold for as long as its worker lives, whatever any clock says, and no longer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.accounting.ledger import Ledger
from tests.fakes.ledgers import ledger_at, owners_at
from tests.faults.load import Burst, request
from tests.faults.oracle import holds
from tests.faults.rig import Rig, wait_for

HOURS = 5
ASK = {"prompt": "Hello", "user_id": "ann", "max_tokens": 100, "stream": True}


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(WEB_CONCURRENCY="1")


@pytest.fixture
def hours_later(rig: Rig) -> Iterator[Ledger]:
    """The ledger of another process, for which hours have gone by."""
    ledger = Ledger(ledger_at(rig.ledger), owners_at(rig.ledger), clock=lambda: time.time_ns() + HOURS * 3600 * 10**9)
    ledger.open()
    yield ledger
    ledger.close()


@pytest.mark.shows("P1", "F14")
def test_a_stream_of_hours_keeps_its_hold_until_its_worker_dies(
    rig: Rig, hours_later: Ledger, figures: Callable[..., None]
) -> None:
    (worker,) = rig.service.workers()
    rig.provider.hold(True)
    stream = Burst(rig.service.port, [request("/inference", ASK, "long")])
    wait_for(rig.provider.under_way, 10)
    (held,) = holds(rig.ledger)
    assert hours_later.expire() == 0
    os.kill(worker, signal.SIGSTOP)  # it does not even give a sign of life
    assert hours_later.expire() == 0
    assert holds(rig.ledger) == [held]
    os.kill(rig.service.process.pid, signal.SIGSTOP)  # or its next worker may be the first to settle it
    try:
        os.kill(worker, signal.SIGKILL)
        assert wait_for(hours_later.expire, 10) == 1
    finally:
        os.kill(rig.service.process.pid, signal.SIGCONT)
    rig.provider.hold(False)
    assert [call.outcome for call in stream.join()] == ["unknown"]
    (row,) = rig.audit(stream.calls).rows
    assert (row["usage_source"], row["held_ms"]) == ("bound", held["held_ms"])
    assert row["settled_ms"] - row["held_ms"] > HOURS * 3_600_000
    figures(f"a stream held its place while another process saw {HOURS} hours go by, and was settled once", 1)
