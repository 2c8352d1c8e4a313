"""A breaker: closed, it lets calls pass; after several failures in a row it is open, and nobody calls the target. When
its time is over one call is let through, the probe: if that succeeds it closes, else it is open again for twice as
long. There is one probe at a time, over all workers, and one an interval; one that has said nothing for ten seconds
is not waited for any longer.

Failures in a row that are all one tenant's may be of its own making: for them it is open for this tenant alone, until
as many of others' have failed in a row. A tenant whose probe failed or came to nothing lets others try first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b

from gateway.routing.board import SECOND

LONGEST = 30.0  # seconds that it is ever open

_HEAD_START = 0.5  # seconds that others have before a tenant whose probe was the last one
_SILENT = 10.0  # seconds that a probe is waited for: it may hang, or its worker be gone

_FORM = struct.Struct("<Id?QII")


@lru_cache(4096)
def mark(tenant: str) -> int:
    """What stands for a tenant in a breaker; never 0, which stands for none."""
    return int.from_bytes(blake2b(tenant.encode(), digest_size=4).digest()) or 1


@dataclass(frozen=True, slots=True)
class Breaker:
    """How a breaker stands. Nothing here changes; each event gives the next one.

    Attributes:
        failures: in a row, while it is closed; while it is open for one tenant alone, those of others.
        seconds: how long it is open this time; 0 where it is closed.
        probing: a probe was let through and has not come back.
        until: nanoseconds; when the next call may be let through.
        only: the one tenant whose failures they all were, and for whom it is open; 0 where there were several.
        last: the tenant whose probe was no good; 0 for none.
    """

    failures: int = 0
    seconds: float = 0.0
    probing: bool = False
    until: int = 0
    only: int = 0
    last: int = 0

    @classmethod
    def read(cls, content: bytes) -> Breaker:
        """What is in a cell; a new one where that is nothing that was written by `write`."""
        found = cls(*_FORM.unpack(content)) if len(content) == _FORM.size else cls()
        return found if 0 <= found.seconds <= LONGEST else cls()

    def write(self) -> bytes:
        return b"" if self == Breaker() else _FORM.pack(*(getattr(self, name) for name in self.__slots__))

    @property
    def closed(self) -> bool:
        return self.seconds == 0

    def closed_for(self, tenant: int) -> bool:
        return self.closed or self.only not in (0, tenant)

    def wait(self, now: int, tenant: int) -> float:
        """Seconds until a tenant's call may be let through; 0 for at once. A clock that was put back ends the wait."""
        left = (self.until - now) / SECOND
        if tenant == self.last:
            left += min(self.seconds, _HEAD_START)
        return left if 0 < left <= 2 * LONGEST else 0.0

    def let_through(self, now: int) -> Breaker:
        """After one call was, of an open one whose time is over. Where the last probe has not come back, the next
        interval is twice as long: those that hang must not pile up."""
        seconds = min(LONGEST, 2 * self.seconds) if self.probing else self.seconds
        return replace(self, seconds=seconds, probing=True, until=now + int(max(_SILENT, seconds) * SECOND), last=0)

    def came_to_nothing(self, now: int, tenant: int, was_sent: bool) -> Breaker:
        """After a probe that says nothing of the target. Where nothing was sent, another may be let through at once."""
        if self.closed:
            return self
        until = now + int(self.seconds * SECOND) if was_sent else now
        return replace(self, probing=False, until=until, last=tenant)

    def failed(self, now: int, tenant: int, is_probe: bool, failures: int, open_seconds: float) -> Breaker:
        """After a failure. Those of calls that were under way when it opened say nothing new."""
        if self.closed:
            only = tenant if self.only == tenant or not self.failures else 0
            if self.failures + 1 < failures:
                return replace(self, failures=self.failures + 1, only=only)
            return Breaker(0, open_seconds, until=now + int(open_seconds * SECOND), only=only)
        if is_probe:
            seconds = min(LONGEST, 2 * self.seconds)
            return replace(self, seconds=seconds, probing=False, until=now + int(seconds * SECOND), last=tenant)
        if self.only in (0, tenant):
            return self
        if self.failures + 1 < failures:
            return replace(self, failures=self.failures + 1)
        return Breaker(0, open_seconds, until=now + int(open_seconds * SECOND))

    def answering(self, failures: int) -> Breaker:
        """After the beginning of a probe's answer, which may take long or break off: closed until the next failure."""
        return self if self.closed else Breaker(failures - 1, only=self.only)

    def succeeded(self, tenant: int, is_probe: bool) -> Breaker:
        """After a whole answer. Of an open one only a probe's counts: others may have been asked before it opened. An
        answer to another tenant than it is open for ends the failures of those."""
        if self.closed or is_probe:
            return Breaker()
        return self if self.only in (0, tenant) else replace(self, failures=0)
