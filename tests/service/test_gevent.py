"""What waits on sockets and clocks behaves the same in a gevent worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.service.conftest import ROOT


@pytest.mark.parametrize("suite", ["providers", "accounting/test_tokens.py", "admission/test_failover.py"])
def test_the_suite_passes_under_gevents_patches(suite: str) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "gevent.monkey", "--module", "pytest", "-q", "-W", "ignore"]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider", f"tests/unit/{suite}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


LANE = """
from gevent import monkey; monkey.patch_all()
import gevent, threading, time
from gateway.concurrency import Lane
sleep, lane, turns = monkey.get_original("time", "sleep"), Lane(), []
ticking = gevent.spawn(lambda: [turns.append(gevent.sleep(0.01)) for _ in range(20)])
assert lane.run(lambda: sleep(0.1) or threading.get_native_id()) != threading.get_native_id()
assert len(turns) >= 3, "others had their turns meanwhile"
"""


def test_a_lane_is_beside_the_event_loop() -> None:
    subprocess.run([sys.executable, "-c", LANE], cwd=ROOT, check=True, timeout=30)
