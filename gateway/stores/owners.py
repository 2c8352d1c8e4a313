"""Who holds what: each worker has a file that it keeps locked, and the kernel frees the lock of one that dies.

No clock is involved, so a call of an hour keeps its hold for as long as its worker lives, stopped or not.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterable
from pathlib import Path

from gateway.stores import StoreError


class Owners:
    """Who holds something on this host.

    Args:
        data_dir: the directory of all embedded state.
        kind: the directory in it that is theirs.
    """

    def __init__(self, data_dir: Path, kind: str = "owners") -> None:
        self._directory = data_dir / kind
        self._lock = -1
        self._own = ""

    def claim(self) -> str:
        """Be an owner, until `release` or this process's end.

        Returns:
            A name that no other owner has or had.

        Raises:
            StoreError: no file can be made.
        """
        own = uuid.uuid4().hex
        try:
            self._lock = self._locked(own)
        except OSError as error:
            raise StoreError(f"{self._directory} cannot be written: {error}") from error
        self._own = own
        return own

    def dead(self, owners: Iterable[str]) -> list[str]:
        """Those who are no more, of `owners` and of all that ever were here. Raises StoreError."""
        try:
            if self._own and not (self._directory / self._own).exists():  # somebody has tidied up, or restored a backup
                self._lock = self._locked(self._own)
            known = {entry.name for entry in self._directory.iterdir() if not entry.name.startswith(".")}
            return [owner for owner in {*owners, *known} if owner != self._own and self._is_dead(owner)]
        except OSError as error:
            raise StoreError(f"{self._directory} cannot be read: {error}") from error

    def forget(self, owner: str) -> None:
        """Remove what is left of an owner that is no more."""
        (self._directory / owner).unlink(missing_ok=True)

    def release(self) -> None:
        """Be no owner any more."""
        if self._own:
            self.forget(self._own)
            os.close(self._lock)
            self._own = ""

    def _locked(self, own: str) -> int:
        """Make an owner's file and lock it, for as long as this process has the descriptor open."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        hidden = self._directory / f".{own}"  # until it is locked: nobody may take it for dead
        lock = os.open(hidden, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        hidden.rename(self._directory / own)
        return lock

    def _is_dead(self, owner: str) -> bool:
        try:
            lock = os.open(self._directory / owner, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True
