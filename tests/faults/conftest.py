"""A gateway in front of a provider that no fault touches, and an operator's hands on both."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.rig import DATABASE, LONG, Provider, Rig
from tests.service.conftest import Service, start

__all__ = ["make_rig", "start"]

collect_ignore = [] if LONG else ["test_disks.py"]  # it needs the right to mount


@pytest.fixture
def make_rig(
    tmp_path: Path, start: Callable[..., Service], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Rig]]:
    """Starts rigs: a provider with these options, and the gateway in front of it."""
    providers: list[Provider] = []

    def make(
        worker: str = "gevent",
        provider: tuple[str, ...] = (),
        listener: socket.socket | None = None,
        **variables: str,
    ) -> Rig:
        directory = tmp_path / f"rig-{len(providers)}"
        directory.mkdir()
        providers.append(Provider(directory / "record", *provider))
        url = request.getfixturevalue("postgres") if DATABASE == "postgresql" else None
        return Rig(directory, providers[-1], start, worker, variables, url, listener)

    yield make
    for provider in providers:
        provider.stop()
