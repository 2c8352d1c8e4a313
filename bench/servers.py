"""Starts what is measured, on cores of its own, and stops it again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import click

from bench.kernel import children, family
from bench.load import Call

ROOT = Path(__file__).parents[1]
AVAILABLE = sorted(os.sched_getaffinity(0))  # cores, before the load keeps to its own
_START_SECONDS = 90  # the slowest peer imports for twenty, alone on its core
_STOP_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Server:
    """A server that was started; it answers once `wait` has returned.

    Attributes:
        process: its first process.
        output: the file with all it has written.
        core: the first that it may run on.
        port: where it listens; None if it chooses and says so in its output.
        path: of chat completions.
        headers: of a call of them.
        model: the name that it answers to.
        done: its streams end with `data: [DONE]`.
        workers: how many processes serve, below the first.
    """

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    core: int
    port: int | None
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = "gpt-4o-mini"
    done: bool = True
    workers: int = 0

    @property
    def url(self) -> str:
        """Raises OSError while the server has not said where it listens."""
        told = re.search(r"http://127\.0\.0\.1:(\d+)/", self.output.read_text()) if self.port is None else None
        if self.port is None and not told:
            raise OSError("not listening yet")
        return f"http://127.0.0.1:{told[1] if told else self.port}"

    @property
    def pids(self) -> tuple[int, ...]:
        """All its processes: their CPU is what its calls cost."""
        return family(self.process.pid)

    def chat(self, **fields: object) -> Call:
        """A chat completion with these fields beside the model."""
        headers = {"content-type": "application/json", **self.headers}
        return Call(self.url + self.path, headers, json.dumps({"model": self.model, **fields}))

    def wait(self) -> None:
        """Return once it answers a chat completion.

        Raises:
            ClickException: it does not; the text holds what it wrote.
        """
        until = time.monotonic() + _START_SECONDS
        while not self._answers() or len(children(self.process.pid)) < self.workers:
            if self.process.poll() is not None or time.monotonic() > until:
                raise click.ClickException(f"{self.name} did not start:\n{self.output.read_text()[-4000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            call = self.chat(messages=[{"role": "user", "content": "Hello?"}], max_tokens=256)
            connection = http.client.HTTPConnection(urlsplit(call.url).netloc, timeout=10)
            with contextlib.closing(connection):
                connection.request("POST", self.path, call.body, dict(call.headers))
                return connection.getresponse().status == 200
        return False


@dataclass(frozen=True, slots=True)
class Cores:
    """Where each part may run."""

    gateway: tuple[int, ...]
    upstream: tuple[int, ...]
    load: tuple[int, ...]

    def __str__(self) -> str:
        return "; ".join(f"{part} on core {', '.join(map(str, cores))}" for part, cores in asdict(self).items())


def share_out(workers: int = 1, available: Sequence[int] = AVAILABLE) -> Cores:
    """Give the upstream and the load generator the last cores, and the gateway as many of the others as it has workers.

    Where these are not enough it has all cores, some of them not for itself.
    """
    others = tuple(available[-2:] if len(available) > 2 else available[-1:])
    rest = tuple(available[: -len(others)])
    return Cores(rest[:workers] if len(rest) >= workers else tuple(available[:workers]), others[:1], others[-1:])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(
    name: str,
    command: Sequence[str],
    home: Path,
    cores: tuple[int, ...],
    environment: Mapping[str, str],
    port: int | None,
    **about: object,
) -> Iterator[Server]:
    """A server that ends with the block, working in `home`; `about` is what else there is to say of it.

    It is yielded at once, so that several can start together.
    """
    output = home / "output.log"
    with output.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 - the command is our own
            command,
            cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C reaches only us, who then stop it
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        yield Server(name, process, output, cores[0], port, **about)  # type: ignore[arg-type]
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def upstream(
    home: Path, cores: Cores, delay: float = 0, chunk_delay: float = 0, pieces: int = 100
) -> AbstractContextManager[Server]:
    """The fake provider; it waits so many seconds before it answers, and between the events of a stream."""
    home.mkdir()
    port = free_port()
    options = ["--delay", str(delay), "--chunk-delay", str(chunk_delay), "--pieces", str(pieces)]
    environment = {"PYTHONPATH": str(ROOT), "PORT": str(port)}
    return running("direct", python("bench.upstream", *options), home, cores.upstream, environment, port)
