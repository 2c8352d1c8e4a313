"""Every kind of counters, with a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.stores.counters import Counters
from gateway.stores.counters.embedded import EmbeddedCounters
from gateway.stores.counters.local import LocalCounters

SECOND = 1_000_000_000


class Clock:
    """Nanoseconds; it stands where it is put."""

    def __init__(self) -> None:
        self.now = 1_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["embedded", "local"])
def counters(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Counters]:
    made: Counters = (
        EmbeddedCounters(tmp_path, 2**22, clock) if request.param == "embedded" else LocalCounters(9, clock)
    )
    made.join({})
    yield made
    made.close()


@pytest.fixture
def seen(clock: Clock) -> Callable[[], int]:
    """The time as the counters see it."""
    return clock
