"""What one worker finds out about a target, all know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.config.settings import BreakerSettings
from gateway.model import Target
from gateway.routing.board import Board
from gateway.routing.breakers import Breakers
from gateway.routing.unavailable import Unavailable
from tests.unit.routing.conftest import Clock, Shared

A, B = Target("p", "a"), Target("p", "b")


class Worker:
    def __init__(self, board: Board) -> None:
        self.board = board
        self.breakers = Breakers(
            board, BreakerSettings(), lambda provider, model: model if len(model) == 1 else "other"
        )

    def fails(self, target: Target = A, times: int = 1) -> None:
        for number in range(times):
            tenant = f"tenant {number}"
            self.breakers.failed(target, tenant, self.breakers.enter(target, tenant))

    def lets_through(self, target: Target = A) -> str:
        try:
            return "probe" if self.breakers.enter(target, "any") else "call"
        except Unavailable:
            return "nothing"


@pytest.fixture
def make_worker(make_board: Callable[[], Board]) -> Callable[[], Worker]:
    return lambda: Worker(make_board())


def test_failures_in_several_workers_open_one_breaker_and_all_leave_the_target_alone(
    make_worker: Callable[[], Worker],
) -> None:
    one, other = make_worker(), make_worker()
    one.fails(times=3)
    other.board.look()
    other.fails(times=2)
    assert other.lets_through() == "nothing"
    one.board.look()
    assert (one.lets_through(), one.lets_through(B)) == ("nothing", "call"), "its other models are other targets"


def test_of_all_workers_one_takes_the_probe_and_its_answer_lets_all_call_again(
    make_worker: Callable[[], Worker], clock: Clock
) -> None:
    workers = [make_worker() for _ in range(4)]
    workers[0].fails(times=5)
    for worker in workers:
        worker.board.get("breaker p/a")
        worker.board.look()
    clock.pass_by(2)
    assert sorted(worker.lets_through() for worker in workers) == ["nothing"] * 3 + ["probe"]
    workers[0].breakers.succeeded(A, "any", is_probe=True)
    for worker in workers:
        worker.board.look()
    assert {worker.lets_through() for worker in workers} == {"call"}


def test_a_worker_that_has_seen_nothing_takes_no_second_probe(make_worker: Callable[[], Worker], clock: Clock) -> None:
    one, other = make_worker(), make_worker()
    one.fails(times=5)
    other.board.get("breaker p/a")
    other.board.look()
    clock.pass_by(2)
    assert (one.lets_through(), other.lets_through()) == ("probe", "nothing"), "it asks before it takes one"
    clock.pass_by(9)
    assert other.lets_through() == "nothing", "the probe may still be answered"
    clock.pass_by(1)
    assert other.lets_through() == "probe", "it is lost"


def test_while_all_is_well_nothing_is_written(make_worker: Callable[[], Worker], shared: Shared) -> None:
    worker = make_worker()
    for _ in range(100):
        worker.breakers.succeeded(A, "any", worker.breakers.enter(A, "any"))
    assert shared.changes == 0


def test_models_that_nobody_has_configured_share_one_breaker(make_worker: Callable[[], Worker]) -> None:
    worker = make_worker()
    for number in range(100):
        worker.lets_through(Target("p", f"made up {number}"))
    assert list(worker.breakers.all()) == [Target("p", "other")]


def test_a_worker_tells_of_targets_that_only_others_have_called(make_worker: Callable[[], Worker]) -> None:
    one, other = make_worker(), make_worker()
    one.fails(A, times=5)
    for _ in range(2):
        other.board.look()
    assert {target: breaker.closed for target, breaker in other.breakers.all().items()} == {A: False}
