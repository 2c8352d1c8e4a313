"""Deploys under load: reloads, and a new instance that takes over where the old one listens. Nobody notices."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

import pytest

from tests.faults.load import Load
from tests.faults.rig import LONG, SEED, Rig, wait_for

STREAMS, RELOADS = (200, 20) if LONG else (20, 3)
CLIENTS = STREAMS * 11 // 10  # some are between two streams
PIECES, PAUSE_MS = 20, 500 if LONG else 100
KINDS = ("gevent", "gthread")


@pytest.mark.shows("P11", "F3")
@pytest.mark.parametrize("worker", KINDS if LONG else KINDS[:1])
def test_clients_notice_nothing_of_reloads_and_of_a_new_instance_on_the_same_socket(
    worker: str, make_rig: Callable[..., Rig], figures: Callable[..., None]
) -> None:
    """Streams outlive several generations of workers each, and end and begin in all of them."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        provider = ("--pieces", str(PIECES), "--pause-ms", str(PAUSE_MS))
        rig = make_rig(worker, provider, listener, GRACEFUL_TIMEOUT="60", DRAIN_DELAY="1")
        old = rig.service

        def many_are_live() -> bool:
            return rig.provider.under_way() >= STREAMS

        with Load(rig.service.port, CLIENTS, SEED, rig.key) as load:
            for number in range(RELOADS):
                wait_for(many_are_live, 20)
                old.signal(signal.SIGHUP)
                wait_for(lambda: reloads(rig) > number, 20)  # noqa: B023
            new = rig.start_again()
            wait_for(many_are_live, 20)
            old.signal(signal.SIGTERM)
            assert old.process.wait(60) == 0
            before = load.outcomes().total()
            wait_for(lambda: load.outcomes().total() > before + CLIENTS, 60)
    assert new.process.poll() is None
    rig.audit(load.calls)
    calls, good = len(load.calls), load.outcomes()["ok"]
    what = (
        f"{RELOADS} reloads, a new instance and the stop of the old one, {STREAMS} or more streams being live at each"
    )
    figures(f"{worker}: {calls - good} of {calls} streams and new calls were cut or refused through {what}", calls)
    assert good == calls


def reloads(rig: Rig) -> int:
    return [line["message"] for line in rig.service.lines()].count("configuration reloaded")
