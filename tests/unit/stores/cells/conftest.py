"""Every kind of cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from gateway.stores.cells import Cells
from gateway.stores.cells.local import LocalCells
from tests.fakes.redis_server import RedisServer
from tests.unit.stores.cells import workers


@dataclass(frozen=True)
class Place:
    """Where the processes of a test share their cells."""

    make: workers.Make
    where: str


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_server.url) as made:
        made.flushall()
        yield made


@pytest.fixture(params=["embedded", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "embedded":
        return Place(workers.embedded, str(tmp_path))
    request.getfixturevalue("client")
    return Place(workers.on_redis, request.getfixturevalue("redis_server").url)


@pytest.fixture(params=["embedded", "redis", "local"])
def cells(request: pytest.FixtureRequest, tmp_path: Path) -> Cells:
    if request.param == "local":
        return LocalCells()
    if request.param == "embedded":
        return workers.embedded(str(tmp_path))
    request.getfixturevalue("client")
    return workers.on_redis(request.getfixturevalue("redis_server").url)
