"""A disk without room, for the ledger, for the log and for the metrics: nothing is bought that cannot be written down,
and nobody fails for want of a log or a metric. Each is a small file system that only the service sees."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.faults.oracle import Oracle, holds
from tests.faults.rig import DATABASE, Provider, Rig, wait_for
from tests.faults.upstream import read_record
from tests.service.conftest import ASK, Service

Figures = Callable[..., None]
KINDS = ("gevent", "gthread")
CALLS = 100
LOCKED = 30.0  # seconds
_MOUNT = 'mount -t tmpfs -o size="$0" none "$1" && shift && exec "$@"'
_SEES = ("unshare", "--map-root-user", "--mount", "sh", "-c", _MOUNT)

pytestmark = pytest.mark.shows("F13")


def seeing(directory: Path, size: str) -> tuple[str, ...]:
    """A command that runs another one with a disk of this size in place of a directory. Skips where nobody may."""
    directory.mkdir(exist_ok=True)
    try:
        subprocess.run([*_SEES, size, str(directory), "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nobody here may mount a file system that only he sees")
    return (*_SEES, size, str(directory))


def inside(service: Service, path: Path) -> Path:
    """A path as the service sees it."""
    return Path(f"/proc/{service.process.pid}/root{path}")


def fill(service: Service, directory: Path) -> Path:
    """Leave no byte of it; the file to remove when there is to be room again."""
    file = inside(service, directory) / "fill"
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as all_of_it:
        while True:
            all_of_it.write(bytes(4096))
    return file


def copied(service: Service, data_dir: Path, to: Path) -> Path:
    """The ledger's files, which nobody outside can open where they are."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir()
    for file in inside(service, data_dir).glob("ledger.sqlite*"):
        shutil.copy(file, to)
    return to


@pytest.mark.skipif(DATABASE != "sqlite", reason="its disk is PostgreSQL's own")
@pytest.mark.parametrize("worker", KINDS)
def test_without_room_for_the_ledger_nothing_is_bought_until_there_is_some(
    worker: str, start: Callable[..., Service], tmp_path: Path, figures: Figures
) -> None:
    provider = Provider(tmp_path / "record")
    try:
        through = seeing(tmp_path / "data", "24m")
        rig = Rig(tmp_path, provider, partial(start, through=through), worker, {})
        service, workers = rig.service, rig.service.workers()
        assert service.ask().status_code == 200
        file = fill(service, rig.data_dir)
        outcomes: Counter[tuple[int, int]] = Counter()
        for _ in range(CALLS):
            before = len(read_record(provider.record))
            answer = service.ask({**ASK, "max_tokens": 9})
            outcomes[answer.status_code, len(read_record(provider.record)) - before] += 1
        file.unlink()
        wait_for(lambda: service.ask().status_code == 200, 10)
        wait_for(lambda: not holds(copied(service, rig.data_dir, tmp_path / "copy")), 10)
        metrics = requests.get(f"{service.url}/metrics", timeout=30).text
        figures(f"ledger, {worker}: {outcomes[503, 0]} refused, {outcomes[200, 1]} answered, nothing else", CALLS)
        assert outcomes.keys() <= {(503, 0), (200, 1)}
        assert outcomes[503, 0] > 0
        assert service.workers() == workers
        Oracle(copied(service, rig.data_dir, tmp_path / "copy"), provider.record, metrics).check()
    finally:
        provider.stop()


@pytest.mark.parametrize("worker", KINDS)
def test_without_room_for_the_log_calls_go_on_and_their_lines_go_to_standard_error(
    worker: str, start: Callable[..., Service], tmp_path: Path, figures: Figures
) -> None:
    logs = tmp_path / "logs"
    service = start(worker, through=seeing(logs, "64k"), LOG_FILE=str(logs / "log"))
    fill(service, logs)
    statuses = Counter(service.ask().status_code for _ in range(CALLS))
    lines = service.errors.read_text().count('"path":"/inference"')
    figures(f"log, {worker}: {CALLS - statuses[200]} of {CALLS} calls failed, {lines} lines on standard error", CALLS)
    assert statuses == {200: CALLS}
    assert lines > CALLS / 2


@pytest.mark.parametrize("size", ["3m", "8m"], ids=["from the beginning", "later"])
@pytest.mark.parametrize("worker", KINDS)
def test_without_room_for_the_metrics_no_worker_dies(
    worker: str, size: str, start: Callable[..., Service], figures: Figures
) -> None:
    shared = Path("/dev/shm")
    service = start(worker, through=seeing(shared, size))
    workers = service.workers()
    fill(service, shared)
    statuses = Counter(service.ask().status_code for _ in range(CALLS))
    assert requests.get(f"{service.url}/metrics", timeout=10).status_code == 200
    died = len(workers - service.workers())
    figures(f"metrics, {worker}, {size}: {died} of {len(workers)} workers died in {CALLS} calls", CALLS)
    assert (died, statuses) == (0, {200: CALLS})


@pytest.mark.skipif(DATABASE != "sqlite", reason="nobody locks PostgreSQL as a whole")
@pytest.mark.parametrize("worker", KINDS)
def test_a_ledger_that_is_locked_for_long_buys_nothing_and_goes_on_after_it(
    worker: str, make_rig: Callable[..., Rig], figures: Figures
) -> None:
    rig = make_rig(worker)
    statuses: Counter[int] = Counter()
    with contextlib.closing(sqlite3.connect(rig.data_dir / "ledger.sqlite", isolation_level=None)) as locker:
        locker.execute("BEGIN IMMEDIATE")
        until = time.monotonic() + LOCKED
        while time.monotonic() < until:
            statuses[rig.service.ask({**ASK, "max_tokens": 9}).status_code] += 1
        locker.execute("ROLLBACK")
    assert (set(statuses), read_record(rig.provider.record)) == ({503}, [])
    wait_for(lambda: rig.service.ask({**ASK, "max_tokens": 9}).status_code == 200, 10)
    rig.audit()
    figures(f"locked for {LOCKED:g} s, {worker}: 0 of {statuses[503]} calls bought anything", statuses[503])
