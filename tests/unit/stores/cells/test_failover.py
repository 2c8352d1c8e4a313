"""Cells always answer, and in a moment, whatever becomes of those that are shared."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.config import Secret
from gateway.stores import StoreError
from gateway.stores.cells import Change
from gateway.stores.cells import failover as module
from gateway.stores.cells.failover import FailoverCells
from gateway.stores.cells.local import LocalCells
from gateway.stores.cells.redis import RedisCells
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.redis_server import RedisServer
from tests.unit.stores.cells.workers import one_more

MOMENT = 2  # seconds: 0.25 for Redis, and the rest for a busy machine


class Shared:
    """Shared cells that fail where they are told to; by their clock it is about the year 1970."""

    def __init__(self) -> None:
        self.asked = 0
        self.down = False
        self.while_asked: Callable[[], object] = lambda: None
        self._cells = LocalCells(lambda: 1)

    def read(self, names: Sequence[str]) -> tuple[int, list[bytes]]:
        self._ask()
        return self._cells.read(names)

    def change(self, name: str, change: Change) -> tuple[int, bytes]:
        self._ask()
        return self._cells.change(name, change)

    def _ask(self) -> None:
        self.asked += 1
        down = self.down
        self.while_asked()
        if down:
            raise StoreError("down")


class Case:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.failures, self.shared = 100.0, 0, Shared()
        self.cells = FailoverCells(self.shared, self._failed)
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))

    def _failed(self) -> None:
        self.failures += 1

    def add(self) -> tuple[int, bytes]:
        return self.cells.change("a", one_more)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(monkeypatch)


def test_what_works_is_asked_and_nothing_else(case: Case) -> None:
    assert [case.add(), case.add(), case.cells.read(["a", "b"])] == [(1, b"1"), (1, b"2"), (1, [b"2", b""])]
    assert (case.shared.asked, case.failures) == (3, 0)


def test_while_they_are_away_a_process_has_its_own_contents_and_its_own_time(case: Case) -> None:
    case.add()
    case.shared.down = True
    began = time.monotonic_ns()
    (changed, content), (read, contents) = case.add(), case.cells.read(["a"])
    assert (content, contents) == (b"1", [b"1"])
    assert began <= changed <= read <= time.monotonic_ns()
    case.shared.down, case.now = False, case.now + 0.6
    assert case.add() == (1, b"2")


def test_the_pause_after_a_failure_doubles_until_they_work_again(case: Case) -> None:
    case.shared.down = True
    pauses: list[float] = []
    last = case.now
    for _ in range(30_000):
        asked = case.shared.asked
        case.cells.read([])
        if case.shared.asked > asked:
            pauses.append(round(case.now - last, 2))
            last = case.now
        case.now += 0.001
    assert pauses == [0, 0.5, 1, 2, 4, 5, 5, 5, 5]
    assert case.failures == 9
    case.shared.down, case.now = False, case.now + 5
    case.add()
    case.shared.down = True
    case.add()
    case.now += 0.51
    asked = case.shared.asked
    case.add()
    assert case.shared.asked == asked + 1, "the pause begins anew"


def test_many_calls_that_fail_at_once_are_all_told_and_pause_no_longer_than_one(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(8)
    case.shared.down, case.shared.while_asked = True, lambda: together.wait(5)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: case.add(), range(8)))
    assert (case.failures, len(caplog.records)) == (8, 1)
    assert case.cells.read(["a"])[1] == [b"8"]
    case.shared.down, case.shared.while_asked = False, lambda: None
    case.now += 0.51
    assert case.add() == (1, b"1")


def test_one_caller_at_a_time_finds_out_whether_they_work_again(case: Case) -> None:
    case.shared.down = True
    case.add()
    case.now += 0.6
    answers: list[bytes] = []

    def meanwhile() -> None:
        case.shared.while_asked = lambda: None
        answers.extend(case.add()[1] for _ in range(5))

    case.shared.while_asked, asked = meanwhile, case.shared.asked
    case.add()
    assert case.shared.asked == asked + 1
    assert answers == [b"2", b"3", b"4", b"5", b"6"], "the others go on with their own"


@pytest.mark.parametrize("down", [False, True])
def test_a_change_that_fails_is_its_callers_and_no_failure_of_the_cells(down: bool, case: Case) -> None:
    case.shared.down = down
    case.add()
    failures = case.failures

    def fail(held: bytes, now: int) -> bytes:
        raise ValueError("no")

    for seconds in (0, 0.6):  # also for the one who finds out whether they work again
        case.shared.down, case.now = False, case.now + seconds
        with pytest.raises(ValueError, match="no"):
            case.cells.change("a", fail)
    assert case.failures == failures
    case.now += 0.6
    assert case.add()[0] == 1


def test_going_and_coming_back_are_told_once_each(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case.shared.down = True
    for _ in range(3):
        case.add()
        case.now += 10
    case.shared.down = False
    for _ in range(3):
        case.add()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


class Line:
    """A Redis behind a proxy."""

    def __init__(self, server: RedisServer, proxy: ChaosProxy) -> None:
        self.server, self.proxy, self.failures = server, proxy, 0
        self.shared = RedisCells(Secret(f"redis://127.0.0.1:{proxy.port}/0"))
        self.cells = FailoverCells(self.shared, self._failed)

    def _failed(self) -> None:
        self.failures += 1

    def begin(self, kind: str) -> None:
        {
            "killed": self.server.kill,
            "stopped": self.server.pause,
            "slow": lambda: self.proxy.set(delay=0.3),
        }[kind]()

    def end(self, kind: str) -> None:
        {
            "killed": self.server.start,
            "stopped": self.server.resume,
            "slow": lambda: self.proxy.set(),
        }[kind]()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with RedisServer(tmp_path) as server, ChaosProxy(server.port) as proxy:
        yield Line(server, proxy)
        server.resume()


@pytest.mark.parametrize("kind", ["killed", "stopped", "slow"])
def test_whatever_redis_does_there_is_an_answer_in_a_moment_and_it_is_used_again_when_it_heals(
    kind: str, line: Line
) -> None:
    line.cells.change("a", lambda held, now: b"shared")
    line.begin(kind)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        for work in (lambda: line.cells.change("b", one_more), lambda: line.cells.read(["a"])):
            began = time.monotonic()
            work()
            assert time.monotonic() - began < MOMENT
        time.sleep(0.01)
    assert line.cells.read(["a"])[1] == [b""]
    assert 2 <= line.failures <= 4, "it is asked again, and not by everyone"
    line.end(kind)
    until = time.monotonic() + 5
    while line.cells.change("back", one_more)[0] < 10**18:  # the time of Redis is that of the day
        assert time.monotonic() < until
        time.sleep(0.01)
    assert line.shared.read(["back"])[1] == [b"1"]
    assert line.cells.read(["a"])[1] == ([b"shared"] if kind != "killed" else [b""])
