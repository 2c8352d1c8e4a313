"""Has each agent do its task through the gateway, then meet a vendor that refuses, and checks what went through."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.agents import checks
from bench.agents.agents import MODELS, Agent, Run
from bench.agents.checks import Pair
from bench.agents.fakes import Vendor, new_word
from bench.agents.gateway import Gateway, serving
from bench.agents.recording import Exchange, listening, passing_on

_OVER_SECONDS = 10

CHECKS = ("exit and word", "body equal", "headers equal", "answer equal", "400 bytes equal", "rows exact")


@dataclass(slots=True)
class Outcome:
    """What came of an agent.

    Attributes:
        by: the vendor that answered.
        calls: of the vendor.
        exit: the status of its first run.
        faults: by one of CHECKS what was wrong; a check that does not apply is missing.
        dropped: fields of its requests that the gateway could not translate.
    """

    agent: Agent
    by: str
    calls: int = 0
    exit: int | None = None
    faults: dict[str, list[str]] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Rig:
    """Clients' side, gateway, vendors' side.

    Attributes:
        url: where agents ask.
        asked: what they asked in a run, and got.
        calls: of vendors, in all runs that are over.
    """

    home: Path
    vendors: dict[str, Vendor]
    gateway: Gateway
    url: str
    asked: list[Exchange]
    calls: int = 0

    def overall(self) -> list[str]:
        """What `gateway usage` tells that the vendors do not."""
        bills = {
            call: (vendor.name, usage) for vendor in self.vendors.values() for call, usage in vendor.account.items()
        }
        return [*checks.reported(self.gateway, bills)]

    def try_out(self, agent: Agent, by: str) -> Outcome:
        """An agent's two runs, answered by the vendor of that name."""
        vendor, outcome = self.vendors[by], Outcome(agent, by)
        word = new_word()
        done, found, alone = self._run(agent, by, f"{agent.name}-by-{by}", word)
        outcome.exit, outcome.calls = done.exit, len(found)
        outcome.faults["exit and word"] = [*_success(done, word)]
        vendor.too_long = True
        _, refused, alone_then = self._run(agent, by, f"{agent.name}-by-{by}-refused", new_word())
        vendor.too_long = False
        outcome.calls += len(refused)
        both = found + refused
        dropped = (pair.client.answer_headers.get("x-gateway-dropped", "") for pair in both)
        outcome.dropped = {name.strip() for names in dropped for name in names.split(",") if name.strip()}
        outcome.faults["rows exact"] = [*alone, *alone_then, *checks.books(both, vendor.account)]
        if by == agent.vendor:
            headers = partial(checks.headers, key=self.gateway.key, credential=vendor.credential)
            outcome.faults["body equal"] = _each(checks.bodies, both)
            outcome.faults["headers equal"] = _each(headers, both)
            outcome.faults["answer equal"] = _each(checks.answers, found)
            outcome.faults["400 bytes equal"] = _each(checks.answers, refused)
        return outcome

    def _run(self, agent: Agent, by: str, name: str, word: str) -> tuple[Run, list[Pair], list[str]]:
        """A run, its calls on both sides, and what is there on one side only."""
        before = len(self.gateway.rows(self.calls))
        for seen in (self.asked, *(vendor.received for vendor in self.vendors.values())):
            seen.clear()
        model = agent.native if by == agent.vendor else MODELS[by]
        done = agent.run(self.home / name, self.url, self.gateway.key, model, word)
        until = time.monotonic() + _OVER_SECONDS
        while not all(each.over for each in self.asked) and time.monotonic() < until:
            time.sleep(0.05)
        called = [each for vendor in self.vendors.values() for each in vendor.received]
        self.calls += len(called)
        found, alone = checks.pairs(self.asked, called, self.gateway.rows(self.calls)[before:])
        (self.home / name / "output").write_text(f"exit {done.exit}\n{done.said}\n{done.complained}")
        _write(self.home / name / "wire", self.asked, "client")
        _write(self.home / name / "wire", called, "vendor")
        return done, found, alone


def _each(check: Callable[[Pair], Iterator[str]], calls: Sequence[Pair]) -> list[str]:
    return [fault for pair in calls for fault in check(pair)] if calls else ["there was no such call"]


def _success(done: Run, word: str) -> Iterator[str]:
    if done.exit != 0:
        yield f"exit status {done.exit}: {(done.complained or done.said).strip()[-500:]}"
    if word not in done.said:
        yield f"the word is not in what it said: {done.said.strip()[-200:]!r}"


def _write(folder: Path, exchanges: Sequence[Exchange], side: str) -> None:
    """What went over the wire, for whoever keeps it."""
    folder.mkdir(exist_ok=True)
    for number, each in enumerate(exchanges):
        about = [f"{each.method} {each.path}", *map(": ".join, each.headers.items()), "", str(each.status)]
        about += map(": ".join, each.answer_headers.items())
        (folder / f"{number}-{side}.headers").write_text("\n".join(about))
        (folder / f"{number}-{side}.request").write_bytes(each.body)
        (folder / f"{number}-{side}.answer").write_bytes(each.answer)


@contextmanager
def rig(home: Path) -> Iterator[Rig]:
    """All that agents need, up while the block runs; everything that is written is below `home`."""
    with ExitStack() as stack:
        vendors = {name: stack.enter_context(Vendor(name).open()) for name in MODELS}
        gateway = stack.enter_context(serving(home / "gateway", list(vendors.values())))
        asked: list[Exchange] = []
        url = stack.enter_context(listening(passing_on(gateway.url), asked))
        yield Rig(home, vendors, gateway, url, asked)
