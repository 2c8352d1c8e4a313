"""Retries cannot storm."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing.board import Board
from gateway.routing.budget import RetryBudget
from tests.unit.routing.conftest import Clock, Shared


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["request", "retry", "look"]), st.integers(0, 2)), max_size=400))
def test_over_all_workers_retries_are_at_most_a_tenth_of_the_requests_and_ten(told: list[tuple[str, int]]) -> None:
    shared = Shared(Clock())
    boards = [shared.board() for _ in range(3)]
    budgets = [RetryBudget(board, 10) for board in boards]
    requests = retries = 0
    for event, worker in told:
        if event == "request":
            budgets[worker].request()
            requests += 1
        elif event == "retry":
            retries += budgets[worker].take()
        else:
            boards[worker].look()
        assert retries <= 10 + requests // 10


def test_a_tenth_of_the_requests_may_be_retried_however_many_workers_had_them(
    make_board: Callable[[], Board],
) -> None:
    boards = [make_board() for _ in range(2)]
    budgets = [RetryBudget(board, 10) for board in boards]
    for _ in range(10):
        assert budgets[0].take()
    assert not budgets[0].take()
    for _ in range(10):
        budgets[1].request()
    boards[1].look()
    assert [budgets[0].take(), budgets[0].take()] == [True, False]


def test_what_is_saved_up_has_an_end(make_board: Callable[[], Board]) -> None:
    board = make_board()
    budget = RetryBudget(board, 10)
    for _ in range(100_000):
        budget.request()
    board.look()
    assert sum(budget.take() for _ in range(200)) == 100


def test_a_budget_of_nothing_allows_none(make_board: Callable[[], Board]) -> None:
    budget = RetryBudget(make_board(), 0)
    budget.request()
    assert not budget.take()
