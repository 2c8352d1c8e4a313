"""The ledger's database: what was bought, what is held, and what may be spent. One protocol, one file a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Transaction(Protocol):
    """A transaction under way.

    Attributes:
        memory: what operations of this process keep from one transaction to the next; emptied where one failed.
        notes: what those of this transaction keep for each other.
    """

    memory: dict[str, Any]
    notes: dict[str, Any]

    def run(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run one of `gateway.stores.ledger.statements`; its rows."""
        ...


Operation = Callable[[Transaction], Any]


class Refusal(Exception):
    """What an operation raises to say no; what it has written until then stands, and those beside it go on."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one operation: its result, or what it raised."""

    result: Any = None
    error: Exception | None = None


class Database(Protocol):
    """Where the ledger is kept. Its methods wait for disks, servers and other processes, and may be called beside an
    event loop: they log nothing and take no lock that gevent patches."""

    def prepare(self) -> None:
        """Make what is not there, and bring the tables up to date.

        Raises:
            StoreError: it cannot be made or written, or a newer version of the gateway has been at it.
        """
        ...

    def transact(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Do all operations, in their order, in one transaction that is committed when this returns.

        One that fails fails alone: the others are done again without it. To be called by one thread at a time.
        """
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

    def close(self) -> None:
        """Close what this process has open."""
        ...
