"""The service as operators run it: Gunicorn, several workers, a directory and an environment of its own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.conftest import KEY, put_ledger

ROOT = Path(__file__).parents[2]
GOOD = {"x-api-key": KEY}
ASK = {"prompt": "Hello", "user_id": "u-1"}


_stopping: list[Service] = []


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A running gateway. Its files are in `directory`; it ends with the test."""

    def __init__(
        self,
        directory: Path,
        worker: str,
        variables: dict[str, str],
        port: int = 0,
        files: tuple[int, int] | None = None,
        app: str = "wsgi:app",
        config: bool = True,
        through: Sequence[str] = (),
        listener: socket.socket | None = None,
    ) -> None:
        """`port` is any free one if not given; `files` is the soft and the hard limit of how many a process may open;
        `through` is a command that runs what follows it in its own place; `listener` is handed to it, as by systemd."""
        self.directory = directory
        self.worker = worker
        self.output = directory / "stdout"
        self.errors = directory / "stderr"
        self.port = listener.getsockname()[1] if listener else port or self.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "gunicorn", "--pythonpath", str(ROOT)]
        command += ["-c", str(ROOT / "gunicorn.conf.py")] if config else ["-b", f"127.0.0.1:{self.port}"]
        if worker != "gevent":
            command += ["--worker-class", worker]
        if listener:
            command += ["--bind", f"fd://{listener.fileno()}"]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),  # gunicorn.conf.py imports before --pythonpath counts
            "API_KEY": KEY,
            "MODEL_NAME": "offline/echo",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            "GRACEFUL_TIMEOUT": "10",
            "DRAIN_DELAY": "0",
            **variables,
        }
        if not (directory / "data").exists():
            put_ledger(directory / "data")
        self._size = int(environment["WEB_CONCURRENCY"] or 2)
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*through, *command, app],
                cwd=directory,
                env={name: value for name, value in environment.items() if value},
                stdout=output,
                stderr=errors,
                pass_fds=[listener.fileno()] if listener else [],
                preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, files)) if files else None,
            )

    @staticmethod
    def free_port() -> int:
        """A port that nobody listens on, as long as nobody else asks for one."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port: int = listener.getsockname()[1]
            return port

    def wait_until_ready(self, seconds: float = 20) -> Service:
        self.wait_for(lambda: self._answers() and len(self.workers()) == self._size, seconds)
        return self

    def wait_for(self, condition: Callable[[], Any], seconds: float = 10) -> Any:
        """The condition's first true value; fails after `seconds`, showing what the service wrote."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if value := condition():
                return value
            time.sleep(0.05)
        raise AssertionError(f"waited {seconds} s\n{self.output.read_text()}\n{self.errors.read_text()}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.errors.read_text()
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{self.url}/health", timeout=5).ok
        return False

    def ask(self, body: Any = None, **headers: str) -> requests.Response:
        return requests.post(f"{self.url}/inference", json=body or ASK, headers={**GOOD, **headers}, timeout=20)

    def raw(self, data: bytes) -> tuple[int, dict[str, Any]]:
        """Send bytes as they are; the status and the JSON body of what comes back."""
        answer = self.raw_answer(data)
        return answer.status, answer.json()

    def raw_answer(self, data: bytes, timeout: float = 10) -> Answer:
        """Send bytes as they are; what comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            with contextlib.suppress(OSError):  # the service may answer and close before it has read everything
                connection.sendall(data)
            with connection.makefile("rb") as stream:
                status = int(stream.readline().split()[1])
                headers = {}
                while (line := stream.readline().decode("latin-1").strip()) != "":
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                return Answer(status, headers, stream.read(int(headers.get("content-length", 0))))

    def ready(self) -> tuple[int, Any]:
        """The status code and the status of readiness."""
        answer = requests.get(f"{self.url}/health/ready", timeout=5)
        return answer.status_code, answer.json()["status"]

    def lines(self) -> list[dict[str, Any]]:
        """Everything on standard output; each line must be a JSON object. A request's comes a moment after its answer."""
        size = -1
        for _ in range(20):  # others may go on asking
            if size == (size := self.output.stat().st_size):
                break
            time.sleep(0.1)
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def workers(self) -> set[int]:
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return {int(pid) for pid in found.stdout.split()}

    def metrics_directory(self) -> Path:
        """Where the workers keep their metrics, from a list of the files that one has mapped."""
        mapped = Path(f"/proc/{min(self.workers())}/maps").read_text().splitlines()
        return Path(next(line.split()[-1] for line in mapped if "llm-gateway-metrics-" in line)).parent

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def pause(self, worker: int) -> None:
        """Stop a worker between two transactions: within one it would hold the others up until it is replaced."""
        ledger = self.directory / "data" / "ledger.sqlite"
        while True:
            os.kill(worker, signal.SIGSTOP)
            self.wait_for(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED)
            own = contextlib.closing(sqlite3.connect(ledger, timeout=0))
            with own as connection, contextlib.suppress(sqlite3.OperationalError):
                connection.execute("BEGIN IMMEDIATE")
                return
            os.kill(worker, signal.SIGCONT)

    def stop(self) -> int:
        """Have it stop, if it does not yet, and wait for that."""
        if self.process.poll() is None and self not in _stopping:
            self.process.terminate()  # a second time would mean at once
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture(params=["gevent", "gthread"])
def worker(request: pytest.FixtureRequest) -> str:
    """Tests that use it run on every kind of worker."""
    name: str = request.param
    return name


@contextlib.contextmanager
def services(under: Path) -> Iterator[Callable[..., Service]]:
    """Starts services in directories of their own; all of them are stopped at the end, and must stop, for which
    nobody waits before the last test."""
    started: list[Service] = []

    def start(
        worker: str = "gevent",
        yaml: str = "",
        dotenv: str = "",
        wait: bool = True,
        port: int = 0,
        files: tuple[int, int] | None = None,
        app: str = "wsgi:app",
        config: bool = True,
        through: Sequence[str] = (),
        listener: socket.socket | None = None,
        **variables: str,
    ) -> Service:
        directory = under / f"service-{len(started)}"
        directory.mkdir()
        if yaml:
            (directory / "gateway.yaml").write_text(yaml)
        if dotenv:
            (directory / ".env").write_text(dotenv)
        service = Service(directory, worker, variables, port, files, app, config, through, listener)
        started.append(service)
        return service.wait_until_ready() if wait else service

    try:
        yield start
    finally:
        for service in started:
            service.process.terminate()
        _stopping.extend(started)


@pytest.fixture(scope="session", autouse=True)
def _all_stop() -> Iterator[None]:
    yield
    for service in _stopping:
        service.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services, which end with the test."""
    with services(tmp_path) as start:
        yield start
