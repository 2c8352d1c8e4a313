"""Starts what is measured, on cores of its own, and stops it again."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.kernel import children

_ROOT = Path(__file__).parents[1]
_OUTPUT = "output.log"
_START_SECONDS = 30
_STOP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it answers, its first process, and the processes whose CPU its calls cost."""

    url: str
    pid: int
    workers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cores:
    """Where each part may run."""

    gateway: tuple[int, ...]
    upstream: tuple[int, ...]
    load: tuple[int, ...]

    def __str__(self) -> str:
        return "; ".join(f"{part} on core {', '.join(map(str, cores))}" for part, cores in asdict(self).items())


def share_out(available: Sequence[int], workers: int) -> Cores:
    """Give the upstream and the load generator the last cores, and the gateway up to `workers` of the others.

    On two cores the gateway has one alone; on one, everything shares it.
    """
    others = tuple(available[-2:] if len(available) > 2 else available[-1:])
    rest = tuple(available[: -len(others)])
    return Cores(rest[:workers] or others, others[:1], others[-1:])


def upstream(directory: Path, cores: Cores, delay_ms: float, chunk_delay_ms: float) -> AbstractContextManager[Server]:
    """The fake provider, running; `directory` is for its files."""
    home = Path(tempfile.mkdtemp(dir=directory))
    command = ["bench.upstream", "--delay-ms", str(delay_ms), "--chunk-delay-ms", str(chunk_delay_ms)]
    return _running(command, home, cores.upstream, {})


def gateway(
    directory: Path, cores: Cores, workers: int, worker_class: str, key: str, provider: Server, **variables: str
) -> AbstractContextManager[Server]:
    """The gateway, running as operators start it, in an environment and a directory of its own.

    Args:
        directory: for its files.
        worker_class: "gevent" or "gthread".
        key: what clients show.
        provider: the upstream that stands for OpenAI.
        variables: what else to set in its environment.
    """
    home = Path(tempfile.mkdtemp(dir=directory))
    (home / "gateway.yaml").write_text("providers: {offline: {kind: offline}}\n")
    environment = {
        "API_KEY": key,
        "MODEL_NAME": "openai/gpt-4o-mini",
        "OPENAI_API_KEY": secrets.token_urlsafe(),
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "DATA_DIR": str(home / "data"),
        "LOG_FILE": str(home / _OUTPUT),
        "WEB_CONCURRENCY": str(workers),
        "DRAIN_DELAY": "0",  # no load balancer has to notice the stop
        **variables,
    }
    command = ["gunicorn", "-c", str(_ROOT / "gunicorn.conf.py"), "wsgi:app"]
    if worker_class != "gevent":
        command += ["--worker-class", worker_class]
    return _running(command, home, cores.gateway, environment, workers)


@contextlib.contextmanager
def _running(
    module: list[str], home: Path, cores: tuple[int, ...], environment: Mapping[str, str], workers: int = 0
) -> Iterator[Server]:
    """A Python module (name and arguments) as a server that ends with the block; without `workers` it has no children.

    Raises:
        ClickException: it does not answer; the text holds what it wrote.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (home / _OUTPUT).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is our own
            [sys.executable, "-m", *module],
            cwd=home,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT), "PORT": str(port), **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only us, who then stop it
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        until = time.monotonic() + _START_SECONDS
        while not _answers(port) or len(children(process.pid)) < workers:
            if process.poll() is not None or time.monotonic() > until:
                raise click.ClickException(f"{module[0]} did not start:\n{(home / _OUTPUT).read_text()}")
            time.sleep(0.05)
        yield Server(f"http://127.0.0.1:{port}", process.pid, children(process.pid) if workers else (process.pid,))
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False
