"""How many retries there may be, over all workers: a share of all requests, so that they cannot storm."""

from __future__ import annotations

from gateway.routing.board import Board

_START = 10  # retries that are there before any request was
_MOST = 100  # that are ever saved up
_RETRY = 1000  # a retry, in thousandths
_CELL = "retries"


class RetryBudget:
    """Thousandths of retries in a cell: each request pays some in, each retry takes one.

    Args:
        board: where the cell is.
        percent: of requests that may be retries; 0 allows none at all.
    """

    def __init__(self, board: Board, percent: int) -> None:
        self._board = board
        self._paid_by_request = percent * _RETRY // 100
        self._requests = 0  # that have not been paid in yet
        board.before_looking(self._pay_in)

    def request(self) -> None:
        """A request has begun. It is paid in a little later, with others."""
        self._requests += 1

    def take(self) -> bool:
        """Whether there may be one more retry; it is taken."""
        return bool(self._paid_by_request) and self._settle(_RETRY)

    def _pay_in(self) -> None:
        if self._requests and self._paid_by_request:
            self._settle(0)

    def _settle(self, price: int) -> bool:
        paid_in, self._requests = self._requests * self._paid_by_request, 0
        enough = False

        def change(content: bytes, now: int) -> bytes:
            nonlocal enough
            there = int.from_bytes(content) - 1 if content else _START * _RETRY
            there = min(_MOST * _RETRY, there + paid_in)
            enough = there >= price
            return (1 + there - (price if enough else 0)).to_bytes(4)  # an empty cell is one that nobody used

        self._board.change(_CELL, change)
        return enough
