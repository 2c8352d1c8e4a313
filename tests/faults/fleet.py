"""Several gateways on one Redis and one PostgreSQL, or one with its embedded stores, and tenants with keys to them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import requests
from prometheus_client.parser import text_string_to_metric_families

from gateway.accounting import reports
from gateway.policy import keys as policy
from gateway.stores.ledger import Transaction
from tests.fakes.ledgers import done, ledger_at
from tests.faults.inside import WORKER
from tests.faults.load import Burst, Call, Load, request
from tests.faults.oracle import Oracle, Row
from tests.faults.rig import SEED, WITHIN, Provider, Rig, wait_for
from tests.service.conftest import Service, services

SOON = 10.0  # seconds in which a busy machine, too, has told every worker of a change
_PAUSE = 0.01  # seconds after each call of a client, of whom a few are not to keep a machine busy
_NUMBERS = count(1)


class Fleet:
    """Gateways in front of one provider.

    Args:
        directory: of all their state.
        provider: the provider.
        start: starts a service.
        workers: the kind of workers of each gateway.
        database_url: of their ledger; None for SQLite.
        variables: of their environment.
    """

    def __init__(
        self,
        directory: Path,
        provider: Provider,
        start: Callable[..., Service],
        workers: Sequence[str] = ("gevent",),
        database_url: str | None = None,
        **variables: str,
    ) -> None:
        self.provider = provider
        self.rigs: list[Rig] = []
        for number, worker in enumerate(workers):
            own = directory / f"gateway-{number}"
            own.mkdir()
            self.rigs.append(Rig(own, provider, start, worker, variables, database_url))

    def tenant(self, *limits: tuple[str, str]) -> Tenant:
        """A new tenant with these hard limits, each a rate and a value, and with a key that all workers know."""
        self.provider.hold(False)  # a test that failed may have left it so
        return Tenant(self, limits)

    def burst(self, calls: Sequence[bytes]) -> Bursts:
        """Send calls at once, to all gateways in turn."""
        number = len(self.rigs)
        return Bursts([Burst(rig.service.port, calls[at::number]) for at, rig in enumerate(self.rigs)])

    def held_open(self, calls: Sequence[bytes], room: int) -> Bursts:
        """Send calls at once, of which `room` are let in and held open by the provider; the others have their answers
        when this returns."""
        self.provider.hold(True)
        burst = self.burst(calls)
        wait_for(lambda: len(burst.calls) >= len(calls) - room, WITHIN)
        time.sleep(0.3)  # for one too many
        assert len(burst.calls) == len(calls) - room, burst.statuses()
        return burst

    @contextmanager
    def load(self, clients: int, key: str) -> Iterator[Loads]:
        """Have so many clients of each gateway make calls until the block ends."""
        seed = 1000 * SEED + next(_NUMBERS)  # no two calls have the same name
        loads = [Load(rig.service.port, clients, seed, key, pause=_PAUSE) for rig in self.rigs]
        with ExitStack() as stack:
            for load in loads:
                stack.enter_context(load)
            yield Loads(loads)

    def get(self, path: str, key: str = "") -> list[tuple[int, Any]]:
        """What each worker of each gateway answers."""
        return [answer for rig in self.rigs for answer in each_worker(rig.service, path, key)]

    def audit(self, calls: Sequence[Call] = ()) -> Oracle:
        """Wait until all is quiet and have the oracle look at the books."""
        return self.rigs[0].audit(calls)


@contextmanager
def fleet_in(directory: Path, *arguments: Any, options: Sequence[str] = (), **named: Any) -> Iterator[Fleet]:
    """A fleet, until the block ends."""
    provider = Provider(directory / "record", *options)
    try:
        with services(directory) as start:
            yield Fleet(directory, provider, start, *arguments, **named)
    finally:
        provider.stop()


class Tenant:
    """A tenant that no other test knows."""

    def __init__(self, fleet: Fleet, limits: Sequence[tuple[str, str]]) -> None:
        self.name = f"tenant-{next(_NUMBERS):03}"
        self._fleet, self._limits = fleet, len(limits)
        now = time.time_ns() // 1_000_000

        def make(tx: Transaction) -> str:
            policy.create_tenant(tx, self.name, now)
            for rate, value in limits:
                reports.set_limit(tx, f"tenant:{self.name}", rate, value, "hard")
            return policy.create_key(tx, self.name, now)

        with closing(ledger_at(fleet.rigs[0].ledger)) as ledger:
            self.key: str = done(ledger, make)
        self.wait_until_known()

    def wait_until_known(self) -> None:
        """Wait until every worker knows the key and the limits."""
        wait_for(lambda: all(self._is_known(*told) for told in self._fleet.get("/v1/usage/me", self.key)), SOON)

    def _is_known(self, status: int, told: Any) -> bool:
        return status == 200 and len(told["limits"]) == self._limits

    def calls(self, number: int) -> list[bytes]:
        """Calls that are bounded alike: as long as each other, with the same cap; some are streams."""
        return [
            request(
                "/inference",
                {"prompt": f"call {at:06}", "user_id": "ann", "max_tokens": 500, "stream": bool(at // 2 % 2)},
                f"{self.name}-{at}",
                key=self.key,
            )
            for at in range(number)
        ]

    def standing(self, unit: str) -> dict[str, Any]:
        """The limit of a unit, which every worker tells alike."""
        found = self._told(unit)
        assert all(one == found[0] for one in found), found
        return found[0]

    def in_flight(self) -> list[int]:
        """How many calls are, as each worker tells."""
        return [limit["spent"] for limit in self._told("concurrency")]

    def _told(self, unit: str) -> list[dict[str, Any]]:
        told = self._fleet.get("/v1/usage/me", self.key)
        assert {status for status, _ in told} == {200}, told
        return [limit for _, answer in told for limit in answer["limits"] if limit["unit"] == unit]

    def rows(self, oracle: Oracle) -> list[Row]:
        """What it has bought."""
        return [row for row in oracle.rows if row["tenant"] == self.name]


class Loads:
    """What was asked of several gateways."""

    def __init__(self, parts: Sequence[Burst | Load]) -> None:
        self._parts = parts

    @property
    def calls(self) -> list[Call]:
        """Those that have ended."""
        return [call for part in self._parts for call in list(part.calls)]

    def statuses(self) -> dict[tuple[int, str | None], int]:
        """How many of them ended how: the status, 0 for none, and the error's code."""
        return dict(Counter((call.status, call.error.get("code")) for call in self.calls))


class Bursts(Loads):
    """What was sent to several gateways at once."""

    def __init__(self, bursts: Sequence[Burst]) -> None:
        super().__init__(bursts)
        self._bursts = bursts

    def join(self) -> list[Call]:
        """Wait for the last answer."""
        return [call for burst in self._bursts for call in burst.join()]


def each_worker(service: Service, path: str, key: str = "") -> list[tuple[int, Any]]:
    """What each worker answers: the status and the body. The kernel chooses who does, so it is asked until all have."""
    workers, answers = service.workers(), {}

    def ask() -> bool:
        answer = requests.get(f"{service.url}{path}", headers={"x-api-key": key}, timeout=30)
        answers[int(answer.headers[WORKER])] = answer.status_code, answer.json()
        return all(pid in answers or not psutil.pid_exists(pid) for pid in workers)

    wait_for(ask, 2 * SOON)
    return list(answers.values())


def clients(service: Service) -> dict[int, int]:
    """How many connections each worker has that has any."""

    def of(pid: int) -> int:
        connections = psutil.Process(pid).net_connections("tcp")
        return sum(found.laddr.port == service.port and bool(found.raddr) for found in connections)

    return {pid: number for pid in service.workers() if (number := of(pid))}


def occupied(service: Service) -> int:
    """A worker that has clients; of several, the one with fewest; 0 where none has."""
    found = clients(service)
    return min(found, key=found.__getitem__, default=0)


def kill_all(service: Service) -> None:
    """Kill a whole gateway: nobody replaces a worker, and nobody says good-bye."""
    service.signal(signal.SIGSTOP)
    workers = service.workers()
    service.signal(signal.SIGKILL)
    service.process.wait()
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def degraded(service: Service, dependency: str) -> float:
    """How often a gateway had to do without something."""
    for family in text_string_to_metric_families(requests.get(f"{service.url}/metrics", timeout=30).text):
        for sample in family.samples:
            if sample.name == "llm_gateway_degraded_total" and sample.labels["dependency"] == dependency:
                return float(sample.value)
    return 0.0
