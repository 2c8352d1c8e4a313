"""Who holds what in the ledger, and who is no more: by files where one host has it, by leases where several have."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Protocol

from gateway.stores.ledger import Transaction
from gateway.stores.owners import Owners as Files

LEASE = 30  # seconds, in the database's clock
_RENEWED_AFTER = 10.0  # seconds


class Owners(Protocol):
    """The owners of holds. What is done in a transaction may be done again in another, where that one failed."""

    def claim(self) -> str:
        """Be an owner, until `release` or this process's end; a name that no other has or had. Raises StoreError."""
        ...

    def keep(self, tx: Transaction) -> None:
        """Stay one: to be called in every transaction that takes a hold, and now and then besides."""
        ...

    def gone(self, tx: Transaction) -> list[str]:
        """Those who seem to be no more. Raises StoreError."""
        ...

    def is_gone(self, tx: Transaction, owner: str) -> bool:
        """Whether that is so, in the very transaction that settles what it holds."""
        ...

    def forget(self, tx: Transaction, owner: str) -> None:
        """Remove what is left of an owner that is no more."""
        ...

    def release(self, tx: Transaction) -> None:
        """Be no owner any more."""
        ...


class HostOwners:
    """Owners on this host; see `gateway.stores.owners`.

    Args:
        data_dir: the directory of all embedded state.
    """

    def __init__(self, data_dir: Path) -> None:
        self._files = Files(data_dir)

    def claim(self) -> str:
        return self._files.claim()

    def keep(self, tx: Transaction) -> None:
        """Nothing: the kernel knows."""

    def gone(self, tx: Transaction) -> list[str]:
        return self._files.dead(row[0] for row in tx.run("owners"))

    def is_gone(self, tx: Transaction, owner: str) -> bool:
        return True  # nobody comes back

    def forget(self, tx: Transaction, owner: str) -> None:
        self._files.forget(owner)

    def release(self, tx: Transaction) -> None:
        self._files.release()


class LeasedOwners:
    """Owners on any host: each has a lease, and renews it by its own clock, however long it has been stopped."""

    def __init__(self) -> None:
        self._own = ""
        self._lapsed: set[str] = set()

    def claim(self) -> str:
        self._own = uuid.uuid4().hex
        return self._own

    def keep(self, tx: Transaction) -> None:
        now = time.monotonic()
        if now - tx.memory.get(self._own, -_RENEWED_AFTER) >= _RENEWED_AFTER:
            tx.run("renew_lease", owner=self._own, seconds=LEASE)
            tx.memory[self._own] = now

    def gone(self, tx: Transaction) -> list[str]:
        """Those whose leases had lapsed at the last look too: after the database was out of reach, all have lapsed
        until their owners renew them."""
        lapsed = {row[0] for row in tx.run("lapsed_leases")}
        found, self._lapsed = lapsed & self._lapsed, lapsed
        return sorted(found)

    def is_gone(self, tx: Transaction, owner: str) -> bool:
        return not tx.run("running_lease", whose=owner)

    def forget(self, tx: Transaction, owner: str) -> None:
        tx.run("end_lease", whose=owner)

    def release(self, tx: Transaction) -> None:
        self.forget(tx, self._own)
