"""A breaker: closed, it lets calls pass; after several failures in a row it is open, and nobody calls the target. When
its time is over one call is let through, the probe: if that succeeds it closes, else it is open again for twice as
long. There is one probe an interval, over all workers: whoever takes it begins the next interval.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

SECOND = 1_000_000_000  # nanoseconds
LONGEST = 30.0  # seconds that it is ever open

_FORM = struct.Struct("<Id?Q")


@dataclass(frozen=True, slots=True)
class Breaker:
    """How a breaker stands. Nothing here changes; each event gives the next one.

    Attributes:
        failures: in a row, while it is closed.
        seconds: how long it is open this time; 0 where it is closed.
        probing: a probe was let through and has not come back.
        until: nanoseconds; when the next call may be let through.
    """

    failures: int = 0
    seconds: float = 0.0
    probing: bool = False
    until: int = 0

    @classmethod
    def read(cls, content: bytes) -> Breaker:
        return cls(*_FORM.unpack(content)) if len(content) == _FORM.size else cls()

    def write(self) -> bytes:
        return b"" if self == Breaker() else _FORM.pack(self.failures, self.seconds, self.probing, self.until)

    @property
    def closed(self) -> bool:
        return self.seconds == 0

    def wait(self, now: int) -> float:
        """Seconds until a call may be let through; 0 for at once. A clock that was put back ends the wait."""
        left = (self.until - now) / SECOND
        return left if 0 < left <= LONGEST else 0.0

    def let_through(self, now: int) -> Breaker:
        """After one call was, of an open one whose time is over. Where the last probe has not come back in its
        interval, the next one is twice as long: those that hang must not pile up."""
        seconds = min(LONGEST, 2 * self.seconds) if self.probing else self.seconds
        return replace(self, seconds=seconds, probing=True, until=now + int(seconds * SECOND))

    def failed(self, now: int, is_probe: bool, failures: int, open_seconds: float) -> Breaker:
        """After a failure. Those of calls that were under way when it opened say nothing new."""
        if self.closed:
            if self.failures + 1 < failures:
                return replace(self, failures=self.failures + 1)
            return Breaker(failures, open_seconds, until=now + int(open_seconds * SECOND))
        if not is_probe:
            return self
        seconds = min(LONGEST, 2 * self.seconds)
        return replace(self, seconds=seconds, probing=False, until=now + int(seconds * SECOND))

    def succeeded(self, is_probe: bool) -> Breaker:
        """After an answer. Of an open one only a probe's counts: others may have been asked before it opened."""
        return Breaker() if self.closed or is_probe else self
