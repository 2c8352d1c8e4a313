"""Named places of a call's way at which a worker kills itself, put around the gateway's methods from outside.

`dispatch` is the request's way to the provider: after it, all of it is sent and nothing read. `first_byte` is the wait
for a stream's first event, or for a whole answer. `settle` is where a call has ended and its client is not told so: after
it, what it took is written down where a limit is scarce, and waits for its transaction where none is. Before `commit`,
everything is written in the transaction and nothing committed; after it, it is committed and nobody knows. Before `ack`,
others may write again; after it, one of those knows who are to. Some commits happen in native threads, which is no matter
to SIGKILL.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from gateway.accounting.ledger import Ledger
from gateway.providers import direct
from gateway.providers.http import Reply
from gateway.providers.openai_stream import OpenAIStream
from gateway.stores.group_commit import GroupCommit
from gateway.stores.ledger import Database
from gateway.stores.ledger.postgresql import PostgresDatabase
from gateway.stores.ledger.sqlite import SqliteDatabase

VARIABLE = "FAILPOINTS"  # the directory that a test and the workers share
NAMES = ("reserve", "dispatch", "first_byte", "settle", "commit", "ack")
POINTS = tuple(f"{side} {name}" for name in NAMES for side in ("before", "after"))

_WHERE: Sequence[tuple[str, type, str]] = (
    ("reserve", Ledger, "hold"),
    ("dispatch", direct._Way, "dispatch"),
    ("first_byte", OpenAIStream, "open"),
    ("first_byte", Reply, "read"),
    ("settle", Ledger, "settle"),
    ("settle", Ledger, "settle_later"),
    ("ack", GroupCommit, "_tell"),
)


class Failpoints:
    """The test's side: arms one point at a time.

    Args:
        directory: shared with the workers.
        seed: of the numbers that are drawn.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._seed = seed
        self._armed = 0
        directory.mkdir()

    def arm(self, point: str, kills: int, most: int, number: signal.Signals = signal.SIGKILL) -> None:
        """Have workers die at `point`, `kills` of them, each at one of the first `most` times that it gets there; or
        have them send themselves another signal."""
        self._armed += 1
        plan = {"number": self._armed, "point": point, "kills": kills, "most": most, "seed": self._seed}
        plan["signal"] = number
        draft = self._directory / "draft"
        draft.write_text(json.dumps(plan))
        draft.rename(self._directory / "plan")

    def killed(self) -> list[str]:
        """What has become of the latest plan: a line for each kill."""
        return [file.read_text() for file in sorted(self._directory.glob(f"kill-{self._armed}-*"))]


class _Trigger:
    """A worker's side: counts how often the armed point is reached."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._plan: dict[str, Any] = {}  # in force
        self._drawn: dict[str, Any] = {}  # the one that kills are drawn from
        self._looked = 0.0
        self._count = self._due = self._kill = 0

    def reach(self, point: str) -> None:
        """Be at a point; does not return where it is the one."""
        if time.monotonic() - self._looked > 0.02:
            self._look()
        plan = self._plan
        if plan.get("point") != point:
            return
        self._count += 1
        while self._count >= self._due and self._kill < plan["kills"]:
            self._die(point)

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            found = json.loads((self._directory / "plan").read_text())
        except FileNotFoundError:
            return
        if found != self._drawn:
            self._plan = {}  # no thread reaches anything while the next plan is made
            self._drawn, self._count, self._kill = found, 0, -1
            self._next()
            self._plan = found

    def _next(self) -> None:
        """Draw when the next kill is due that nobody has done yet."""
        self._kill += 1
        while self._mark().exists():
            self._kill += 1
        drawn = random.Random(f"{self._drawn['seed']}/{self._drawn['point']}/{self._kill}")
        self._due = self._count + drawn.randint(1, self._drawn["most"])

    def _die(self, point: str) -> None:
        draft = self._directory / f"draft-{os.getpid()}-{threading.get_ident()}"
        draft.write_text(f"{point}, time {self._count} of worker {os.getpid()}")
        try:
            os.link(draft, self._mark())  # whole at once: another thread may be about to kill this process
        except FileExistsError:
            self._next()  # another worker was faster
            return
        os.kill(os.getpid(), self._drawn["signal"])
        time.sleep(60)  # a thread may live on for a moment

    def _mark(self) -> Path:
        return self._directory / f"kill-{self._drawn['number']}-{self._kill:04}"


def install(directory: Path) -> None:
    """Put the points into this process, and into those that are forked from it."""
    trigger = _Trigger(directory)
    for name, owner, method in _WHERE:
        setattr(owner, method, _around(trigger, name, getattr(owner, method)))
    for database in (SqliteDatabase, PostgresDatabase):
        setattr(database, "_commit", _committing(trigger, database._commit))  # noqa: B010 - of either type


def _around(trigger: _Trigger, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def reaching(*args: Any, **kwargs: Any) -> Any:
        trigger.reach(f"before {name}")
        result = method(*args, **kwargs)
        trigger.reach(f"after {name}")
        return result

    return reaching


def _committing(trigger: _Trigger, commit: Callable[..., Any]) -> Callable[..., Any]:
    """`commit` with another operation at the end of the transaction, which writes nothing."""

    def reaching(database: Database, operations: Sequence[Callable[..., Any]]) -> Any:
        outcomes = commit(database, [*operations, lambda tx: trigger.reach("before commit")])
        trigger.reach("after commit")
        return outcomes[:-1]

    return reaching
