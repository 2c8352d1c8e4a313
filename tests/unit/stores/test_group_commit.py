"""Many callers share a transaction; each gets its own outcome, and what is owed is written in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from gateway.stores import StoreError
from gateway.stores.group_commit import GroupCommit
from gateway.stores.ledger import Operation, Outcome, Refusal


class Database:
    """A database that can be slow or broken; a transaction's operations append to `kept`."""

    def __init__(self) -> None:
        self.blocks = True
        self.kept: list[Any] = []
        self.sizes: list[int] = []  # of every transaction that was tried
        self.works = threading.Event()  # where not set, transactions wait for it
        self.works.set()
        self.broken = False

    def transact(self, operations: Sequence[Operation]) -> list[Outcome]:
        self.sizes.append(len(operations))
        self.works.wait()
        if self.broken:
            return [Outcome(error=StoreError("broken"))] * len(operations)
        return [self._one(operation) for operation in operations]

    def _one(self, operation: Operation) -> Outcome:
        try:
            return Outcome(operation(self))  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 - handed on, as a real one does
            return Outcome(error=error)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def make(database: Database) -> Iterator[Callable[..., GroupCommit]]:
    made = []

    def make_one(patience: float = 5, committed: Callable[[float | None], None] = lambda seconds: None) -> GroupCommit:
        made.append(GroupCommit(database, patience, committed))  # type: ignore[arg-type]
        return made[-1]

    yield make_one
    database.broken = False
    database.works.set()
    for each in made:
        each.close(2)


def keep(value: Any) -> Operation:
    return lambda tx: tx.kept.append(value) or value  # type: ignore[attr-defined]


def no_undo(tx: Any) -> None:
    """Nothing to undo: the caller takes a failure for the last word."""


def at_once(count: int, call: Callable[[int], Any]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def impatient(commit: GroupCommit, operation: Operation) -> None:
    with pytest.raises(StoreError):
        commit.submit(operation, no_undo)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_caller_gets_what_its_operation_returned(make: Callable[..., GroupCommit]) -> None:
    assert make().submit(keep("this")) == "this"


def test_many_callers_share_one_transaction(make: Callable[..., GroupCommit], database: Database) -> None:
    commit, results = make(), list[int]()
    database.works.clear()
    first = at_once(1, lambda number: commit.submit(keep("first")))
    until(lambda: database.sizes == [1])
    rest = at_once(50, lambda number: results.append(commit.submit(keep(number))))
    until(lambda: len(commit._waiting) == 50)
    database.works.set()
    for thread in first + rest:
        thread.join()
    assert database.sizes == [1, 50]
    assert sorted(results) == list(range(50))


@pytest.mark.parametrize("failure", [ValueError("wrong"), Refusal("no")])
def test_one_that_fails_fails_alone(failure: Exception, make: Callable[..., GroupCommit], database: Database) -> None:
    commit, outcomes = make(), dict[int, Any]()

    def fail(tx: Any) -> None:
        raise failure

    def call(number: int) -> None:
        try:
            outcomes[number] = commit.submit(fail if number == 3 else keep(number))
        except (ValueError, Refusal) as error:
            outcomes[number] = error

    for thread in at_once(8, call):
        thread.join()
    assert outcomes == {**{number: number for number in range(8)}, 3: failure}
    assert commit._owed == []


def test_a_caller_waits_no_longer_than_its_patience(make: Callable[..., GroupCommit], database: Database) -> None:
    commit = make(0.05)
    database.works.clear()
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"for 0\.05 s"):
        commit.submit(keep("late"))
    assert time.monotonic() - started < 1


def test_a_caller_has_patience_as_long_as_one_transaction_after_the_other_is_committed(
    make: Callable[..., GroupCommit], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.stores.group_commit._MOST", 1)
    monkeypatch.setattr(database.works, "wait", lambda: time.sleep(0.03))
    commit, got = make(0.3), []
    for thread in at_once(25, lambda number: got.append(commit.submit(keep(number), no_undo))):
        thread.join()
    assert sorted(got) == list(range(25))


def test_what_was_given_up_before_its_turn_is_never_done(make: Callable[..., GroupCommit], database: Database) -> None:
    commit = make(0.05)
    database.works.clear()
    at_once(1, lambda number: commit.submit(keep("blocks"), patience=60))
    until(lambda: database.sizes == [1])
    impatient(commit, keep("given up"))
    database.works.set()
    assert commit.submit(keep("later")) == "later"
    assert database.kept == ["blocks", "later"]


def test_what_is_committed_after_its_caller_gave_up_is_undone(
    make: Callable[..., GroupCommit], database: Database
) -> None:
    commit = make(0.05)
    database.works.clear()
    with pytest.raises(StoreError):
        commit.submit(keep("hold"), keep("undone"))
    database.works.set()
    until(lambda: len(database.kept) == 2)
    assert database.kept == ["hold", "undone"]


def test_what_is_committed_in_the_moment_of_giving_up_is_either_given_or_undone(
    make: Callable[..., GroupCommit], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(threading.Event):
        late = False  # its time is over in the very moment in which it is set

        def wait(self, timeout: float | None = None) -> bool:
            told = super().wait(None) and self.late
            self.late = True
            return told

    commit = make(0)
    stands_still = iter([False, True])
    monkeypatch.setattr(commit, "_stands_still", lambda patience: next(stands_still))
    monkeypatch.setattr("gateway.stores.group_commit.threading.Event", Late)
    try:
        given = commit.submit(keep("hold"), keep("undone"))
    except StoreError:
        until(lambda: database.kept == ["hold", "undone"])
    else:
        assert given == "hold"
        assert database.kept == ["hold"]


def test_what_is_owed_is_tried_until_it_is_committed_and_in_its_order(
    make: Callable[..., GroupCommit], database: Database
) -> None:
    commit = make()
    database.broken = True
    for number in range(5):
        with pytest.raises(StoreError, match="broken"):
            commit.submit(keep(number))
    impatient(commit, keep("a hold"))
    commit.retry()
    until(lambda: len(database.sizes) >= 7)
    assert database.kept == []
    database.broken = False
    commit.retry()
    until(lambda: len(database.kept) == 5)
    assert database.kept == [0, 1, 2, 3, 4]
    tried = len(database.sizes)
    commit.retry()
    assert commit.submit(keep("next")) == "next"
    assert database.sizes[tried:] == [1], "what is committed is owed no more"


def test_what_is_owed_is_told_so_once_and_goes_before_the_next_call(
    make: Callable[..., GroupCommit], database: Database
) -> None:
    commit, told, database.broken = make(), list[bool](), True
    commit.post(keep("owed"), lambda outcome: told.append(outcome.error is None))
    for _ in range(3):
        impatient(commit, keep("a hold"))
    database.broken = False
    commit.submit(keep("next"))
    assert (told, database.kept) == ([False, True], ["owed", "next"])


def test_an_undoing_that_fails_is_owed(make: Callable[..., GroupCommit], database: Database) -> None:
    commit = make(0.05)
    database.works.clear()

    def held(tx: Any) -> None:
        database.broken = True  # from the next transaction on
        tx.kept.append("hold")

    with pytest.raises(StoreError):
        commit.submit(held, keep("undone"))
    database.works.set()
    until(lambda: len(commit._owed) == 1)
    database.broken = False
    commit.retry()
    until(lambda: database.kept == ["hold", "undone"])


def test_much_that_is_owed_neither_spins_nor_keeps_callers_waiting(
    make: Callable[..., GroupCommit], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.stores.group_commit._MOST", 4)
    commit = make(0.3)
    database.broken = True
    for number in range(6):
        with pytest.raises(StoreError, match="broken"):
            commit.submit(keep(number))
    assert len(database.sizes) < 20
    database.broken = False
    assert commit.submit(keep("next")) == "next"
    until(lambda: sorted(map(str, database.kept)) == ["0", "1", "2", "3", "4", "5", "next"])


def test_a_transaction_takes_no_more_than_lets_others_have_their_turn(
    make: Callable[..., GroupCommit], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.stores.group_commit._MOST", 4)
    commit = make()
    for thread in at_once(30, lambda number: commit.submit(keep(number))):
        thread.join()
    assert max(database.sizes) <= 4
    assert sorted(database.kept) == list(range(30))


def test_whatever_a_database_raises_reaches_its_callers_and_the_writer_goes_on(
    make: Callable[..., GroupCommit], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = make()
    with monkeypatch.context() as patch:
        patch.setattr(database, "transact", lambda operations: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            commit.submit(keep("lost"))
    assert commit.submit(keep("next")) == "next"


def test_every_transaction_is_told_of(make: Callable[..., GroupCommit], database: Database) -> None:
    told: list[float | None] = []
    commit = make(5, told.append)
    commit.submit(keep("one"))
    database.broken = True
    impatient(commit, keep("two"))
    assert told[0] is not None
    assert told[1:] == [None]


def test_what_waits_and_what_is_owed_is_committed_before_the_end(
    make: Callable[..., GroupCommit], database: Database
) -> None:
    commit = make(0.05)
    database.broken = True
    with pytest.raises(StoreError):
        commit.submit(keep("owed"))
    database.broken = False
    commit.close(2)
    assert database.kept == ["owed"]
