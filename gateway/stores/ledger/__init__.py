"""The ledger's database: what was bought, what is held, and what may be spent. One protocol, one file a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from gateway.stores import StoreError

T = TypeVar("T")

CONNECTIONS = 2  # of a process: one of whoever writes, and one of all who read


class Transaction(Protocol):
    """A transaction under way.

    Attributes:
        memory: what operations of this process keep from one transaction to the next; emptied where one failed.
        notes: what those of this transaction keep for each other.
        last: what is to be done once all operations are done, by a name of its own.
    """

    memory: dict[str, Any]
    notes: dict[str, Any]
    last: dict[str, Callable[[], None]]

    def run(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run one of `gateway.stores.ledger.statements`; its rows."""
        ...


Operation = Callable[[Transaction], Any]


class Refusal(Exception):
    """What an operation raises to say no; what it has written until then stands, and those beside it go on."""


class InDoubt(StoreError):
    """Nobody knows whether a transaction was committed: the connection broke in that moment."""


class Outcome(NamedTuple):
    """What came of one operation: its result, or what it raised."""

    result: Any = None
    error: Exception | None = None


def all_done(operations: Sequence[Operation], tx: Transaction) -> list[Outcome]:
    """What came of all operations of a transaction, which is ready for its commit. Raises what is no refusal."""
    outcomes = []
    for operation in operations:
        try:
            outcomes.append(Outcome(operation(tx)))
        except Refusal as refusal:
            outcomes.append(Outcome(error=refusal))
    for last in tx.last.values():
        last()
    return outcomes


class Database(Protocol):
    """Where the ledger is kept. Its methods wait for disks, servers and other processes.

    Attributes:
        blocks: they would stop an event loop, and are to be called beside it: they log nothing and take no lock that
            gevent patches. Others wait as greenlets do, and must not be called beside it.
        place: where that is, for people.
    """

    blocks: bool

    @property
    def place(self) -> str: ...

    def exists(self) -> bool:
        """Whether it has been made. Raises StoreError."""
        ...

    def prepare(self) -> None:
        """Make what is not there, and bring the tables up to date.

        Raises:
            StoreError: it cannot be made or written, or a newer version of the gateway has been at it.
        """
        ...

    def transact(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Do all operations, in their order, in one transaction that is committed when this returns.

        One that fails fails alone: the others are done again without it. Where InDoubt is what came of one, it may be
        committed all the same. To be called by one thread at a time.
        """
        ...

    def at_once(self, operations: Sequence[Operation]) -> list[Outcome] | None:
        """Do the same where nobody need be waited for, and nothing fails; None where it was not done. It may be called
        where `blocks` forbids the others."""
        ...

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Do work that only reads, in a transaction of its own.

        Raises:
            StoreError: it cannot be read.
        """
        ...

    def maintain(self) -> None:
        """Do what the database needs now and then.

        Raises:
            StoreError: it failed.
        """
        ...

    def room(self) -> int | None:
        """How many connections it has for us; None where that is no matter. Raises StoreError."""
        ...

    def close(self) -> None:
        """Close what this process has open."""
        ...
