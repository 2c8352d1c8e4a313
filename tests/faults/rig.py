"""What the tests of faults share: the provider's process, the gateway's, the operator's commands, and how long to go
on. `make faults` runs the long forms; FAULTS_SEED repeats a run's choices; FAULTS_DATABASE=postgresql has the ledger in
PostgreSQL."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from gateway.accounting import reports
from gateway.stores.ledger import Transaction
from tests.conftest import KEY
from tests.fakes.ledgers import Place, done, ledger_at
from tests.faults.failpoints import VARIABLE, Failpoints
from tests.faults.load import Call
from tests.faults.oracle import Oracle, holds
from tests.faults.reporting import DATABASE, LONG, tell
from tests.faults.upstream import CONTROL
from tests.service.conftest import ROOT, Service

__all__ = ["DATABASE", "LONG", "tell"]  # which every test of faults asks for
SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
WITHIN = 60.0  # seconds in which everything is settled, whatever was killed

CONFIG = """
default_model: m
providers:
  fake: {{kind: openai, base_url: "{url}/v1", api_key: no-secret-at-all, timeouts: {{connect: 30}}}}
models:
  m:
    targets: [{{provider: fake, model: gpt-4o-mini}}]
    fallback: [other]
    price: &price {{input: 1.25, cached_input: 0.125, output: 10}}
  other:
    targets: [{{provider: fake, model: gpt-4o}}]
    price: *price
"""


def wait_for(condition: Callable[[], Any], seconds: float) -> Any:
    """The condition's first true value."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s")


def more_files() -> tuple[int, int]:
    """Let this process open as many files as it may; the limits, for others."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard, hard


class Provider:
    """The provider's process.

    Args:
        record: where it writes down what it bills.
        options: of `tests.faults.upstream`.
    """

    def __init__(self, record: Path, *options: str) -> None:
        self.record = record
        command = [sys.executable, "-m", "tests.faults.upstream", "--record", str(record), *options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def hold(self, held: bool) -> None:
        """Hold answers open from now on, or let them go."""
        self._control(hold=held)

    def under_way(self) -> int:
        """How many answers are."""
        found: int = self._control()["under_way"]
        return found

    def most(self) -> int:
        """How many there were at most at once, since the last question of any kind."""
        found: int = self._control()["most"]
        return found

    def fail(self, fails: bool) -> None:
        """Answer 503 from now on, or no longer."""
        self._control(fail=fails)

    def asked(self) -> list[float]:
        """When it was asked for answers since the last question of any kind, by the monotonic clock."""
        found: list[float] = self._control()["asked"]
        return found

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def _control(self, **wish: bool) -> Any:
        return requests.post(f"{self.url}{CONTROL}", json=wish, timeout=30).json()

    def stop(self) -> None:
        self.signal(signal.SIGCONT)
        self._process.terminate()
        self._process.communicate(timeout=10)


class Rig:
    """A gateway in front of a provider.

    Args:
        directory: of the ledger and of what else outlives a gateway.
        provider: the provider.
        start: starts a service.
        worker: kind of its workers.
        variables: of its environment, besides those that it needs here.
        url: of the ledger in PostgreSQL; None for SQLite.
        listener: where all its gateways listen; None where each has an address of its own.

    Attributes:
        key: whose calls are made.
    """

    def __init__(
        self,
        directory: Path,
        provider: Provider,
        start: Callable[..., Service],
        worker: str,
        variables: dict[str, str],
        url: str | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.data_dir = directory / "data"
        self.ledger: Place = url or self.data_dir
        self.provider = provider
        self.failpoints = Failpoints(directory / "failpoints", SEED)
        self.key = KEY
        self._start, self._worker, self._listener = start, worker, listener
        self._variables = {
            "DATA_DIR": str(self.data_dir),
            "DATABASE_URL": url or "",
            "MODEL_NAME": "",
            "PYTHONPATH": str(ROOT),
            VARIABLE: str(directory / "failpoints"),
            **variables,
        }
        self.service = self.start_again()
        tell(f"{worker} workers, FAULTS_SEED={SEED}")

    def start_again(self, port: int = 0) -> Service:
        """Start the gateway, with whatever the last one has left."""
        self.service = self._start(
            self._worker,
            yaml=CONFIG.format(url=self.provider.url),
            app="tests.faults.app:app",
            port=port,
            listener=self._listener,
            files=more_files(),
            **self._variables,
        )
        return self.service

    def operator(self, *words: str) -> str:
        """What a command of the operator's prints."""
        done = subprocess.run(
            [Path(sys.executable).parent / "gateway", *words],
            cwd=self.service.directory,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                **{name: self._variables[name] for name in ("DATA_DIR", "DATABASE_URL")},
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def limit(self, subject: str, rate: str, value: str | None, mode: str = "hard") -> None:
        """Set a limit or, without a value, remove it, as the operator's commands do, without their start."""

        def change(tx: Transaction) -> None:
            if value is None:
                reports.remove_limit(tx, subject, rate)
            else:
                reports.set_limit(tx, subject, rate, value, mode)

        with closing(ledger_at(self.ledger)) as database:
            done(database, change)

    def listed(self, *words: str) -> list[dict[str, Any]]:
        """What a listing of the operator's holds."""
        found: list[dict[str, Any]] = json.loads(self.operator(*words, "--format", "json"))
        return found

    def settle(self) -> float:
        """Wait until nothing is held; the seconds that it took."""
        began = time.monotonic()
        try:
            wait_for(lambda: not holds(self.ledger), WITHIN)
        except AssertionError:
            raise AssertionError(f"held after {WITHIN} s: {holds(self.ledger)}") from None
        return time.monotonic() - began

    def audit(self, calls: Iterable[Call] = ()) -> Oracle:
        """Wait until all is quiet and have the oracle look at the books."""
        seconds = self.settle()
        metrics = requests.get(f"{self.service.url}/metrics", timeout=30).text
        oracle = Oracle(self.ledger, self.provider.record, metrics, calls)
        tell(f"{oracle.check()}; settled {seconds:.1f} s after the last call")
        return oracle
