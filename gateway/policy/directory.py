"""What a process knows of tenants, keys and the counters' limits, so that no request has to ask a database.

It asks three times a second whether anything has changed, and reads what has.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gateway import process
from gateway.errors import LedgerUnavailable
from gateway.policy import book
from gateway.policy.book import LimitBook
from gateway.policy.keys import DEFAULT_TENANT, VirtualKey, key_of
from gateway.stores import StoreError
from gateway.stores.ledger import Transaction

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.3  # seconds
_STALE = 5.0  # seconds after which what is known may have been revoked, and is not gone by any more


class Directory:
    """Of this process. It opens itself with its first use.

    Args:
        read: does work in a transaction that only reads. Raises StoreError.
    """

    def __init__(self, read: Callable[[Callable[[Transaction], Any]], Any]) -> None:
        self._read = read
        self._limits = LimitBook(in_ledger=False)
        self._keys: dict[str, VirtualKey] = {}
        self._tenants: tuple[str, ...] = (DEFAULT_TENANT,)
        self._version: int | None = None
        self._seen = 0.0  # monotonic seconds
        self._process = 0
        self._opening = threading.Lock()
        self._closed = threading.Event()
        self._complained = False

    def key(self, key_id: str) -> VirtualKey | None:
        """The key of an id, if there is one that has not been revoked. Raises LedgerUnavailable."""
        self._be_fresh()
        return self._keys.get(key_id)

    def limits(self) -> LimitBook:
        """The limits that count in the counters. Raises LedgerUnavailable."""
        self._be_fresh()
        return self._limits

    def tenants(self) -> tuple[str, ...]:
        """The names of the tenants as they are last known, the first made first."""
        with suppress(LedgerUnavailable):
            self._be_fresh()
        return self._tenants

    def refresh(self) -> None:
        """Learn what has changed. Raises StoreError."""
        asked = time.monotonic()
        self._version = self._read(self._learn)
        self._seen = asked

    def close(self) -> None:
        """Learn nothing more."""
        self._closed.set()

    def _be_fresh(self) -> None:
        if self._process != process.number:
            self._open()
        elif time.monotonic() - self._seen > _STALE:
            raise LedgerUnavailable(detail="it cannot be read whether keys and limits have changed")

    def _open(self) -> None:
        with self._opening:
            if self._process == process.number:
                return
            try:
                self.refresh()
            except StoreError as error:
                raise LedgerUnavailable(detail=str(error)) from error
            threading.Thread(target=self._follow, daemon=True, name="directory").start()
            self._process = process.number

    def _follow(self) -> None:
        while not self._closed.wait(_LOOK_EVERY):
            try:
                self.refresh()
            except Exception as error:
                if not self._complained:
                    expected = isinstance(error, StoreError)
                    log.error("changes of keys and limits cannot be read: %s", error, exc_info=not expected)
                self._complained = True
            else:
                self._complained = False

    def _learn(self, tx: Transaction) -> int:
        """Read what has changed since the known version; the version that it is then. It may run beside the event
        loop, and others read meanwhile: so what is known is replaced and never taken away first."""
        now = book.version(tx)
        if now == self._version:
            return now
        told = None if self._version is None else book.changes(tx, self._version, now)
        if told is None:
            self._limits.read(tx)
            keys = [key_of(row) for row in tx.run("keys")]
            self._keys = {key.id: key for key in keys if key.revoked_ms is None}
        else:
            self._limits.read_again(tx, told.get("limit", ()))
            rows = [row for key_id in told.get("key", ()) for row in tx.run("key", whose=key_id)]
            rows += [row for tenant in told.get("keys", ()) for row in tx.run("keys_of", whose=tenant)]
            for key in map(key_of, rows):
                if key.revoked_ms is None:
                    self._keys[key.id] = key
                else:
                    self._keys.pop(key.id, None)
        if told is None or "tenant" in told:
            self._tenants = (DEFAULT_TENANT, *(row[0] for row in tx.run("tenants")))
        return now
