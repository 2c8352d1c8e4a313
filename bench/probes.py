"""What a table of calls does not tell: bursts, open streams, memory, more workers, large bodies, a crash.

Each probe starts gateways of its own and gives figures by the names that `bench.reach` knows.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain, cycle
from pathlib import Path
from statistics import linear_regression, median

import click

from bench import load, ours, scenarios, servers
from bench.kernel import children, memory
from bench.load import percentile
from bench.scenarios import CONNECTIONS, Scenario, message, take
from bench.servers import AVAILABLE, Server, running, share_out

Found = dict[str, float]

_MB = 10**6
_BATCH = 100  # streams that begin at once
_BATCH_SECONDS = 0.4  # until the next ones
_ALL_OPEN_SECONDS = 10
_FEW = 4  # connections of calls with large bodies
_MIXED = 10  # connections where sizes are mixed; on each, one body in as many is large
_ATTEMPTS = 5  # crashes
_ENOUGH = 50_000  # calls, of which a worker's growth can be told


@contextmanager
def _gateway(directory: Path, name: str, workers: int = 1, **upstream: float) -> Iterator[Server]:
    """A gateway with an upstream of its own, warmed up; `upstream` is what `servers.upstream` takes."""
    cores = share_out(workers)
    with servers.upstream(directory / f"{name}-upstream", cores, **upstream) as provider:  # type: ignore[arg-type]
        provider.wait()
        with ours.gateway(directory / name, cores, provider, workers) as gateway:
            gateway.wait()
            yield gateway


def _workers_memory(server: Server, kind: str) -> list[float]:
    return [memory(pid)[kind] for pid in children(server.process.pid)]


def _tell(errors: Counter[str]) -> None:
    for what, count in errors.items():
        click.echo(f"ERRORS: {count} x {what}", err=True)


def burst(directory: Path, calls: int, wait: float = 2) -> Found:
    """So many calls at once, to an upstream that waits."""
    with _gateway(directory, "burst", delay=wait) as gateway:
        outcome = load.drive(gateway.url, gateway.chat(**message()).requests(), calls, 0)
    _tell(outcome.errors)
    return {"burst_s": outcome.seconds, "burst_errors": outcome.errors.total()}


def open_streams(directory: Path, streams: int, pause: float) -> Found:
    """So many streams open on two workers, an event each every `pause` seconds; they come a few at a time."""
    batches = math.ceil(streams / _BATCH)
    pieces = math.ceil((batches * _BATCH_SECONDS + _ALL_OPEN_SECONDS) / pause)
    with _gateway(directory, "open", 2, chunk_delay=pause, pieces=pieces) as gateway:
        load.drive(gateway.url, gateway.chat(**message()).requests(), CONNECTIONS, 1)
        before = sum(_workers_memory(gateway, "pss"))

        def batch(number: int) -> load.Outcome:
            time.sleep(number * _BATCH_SECONDS)
            requests = gateway.chat(**message(), stream=True).requests()
            return load.drive(gateway.url, requests, min(_BATCH, streams - number * _BATCH), 0, streams=True)

        most = before
        with ThreadPoolExecutor(batches) as pool:
            running = [pool.submit(batch, number) for number in range(batches)]
            while not all(each.done() for each in running):
                most = max(most, sum(_workers_memory(gateway, "pss")))
                time.sleep(0.5)
    errors = sum((each.result().errors for each in running), Counter[str]())
    _tell(errors)
    return {"open_errors": errors.total(), "open_kb": (most - before) * 1024 / streams}


def worker_memory(directory: Path, calls: int) -> Found:
    """What a worker takes after so many calls, and how that grows, from samples after the first quarter."""
    samples: list[tuple[float, float]] = []
    with _gateway(directory, "memory") as gateway:
        scenario = Scenario("chat", gateway, gateway.chat(**message()), CONNECTIONS)
        done = 0
        while done < calls:
            done += scenario.drive(max(1, min(10, calls / 10_000))).calls
            samples.append((done, _workers_memory(gateway, "pss")[0]))
        private, pss = (_workers_memory(gateway, kind)[0] for kind in ("private", "pss"))
    figures = {"private_mb": private, "pss_mb": pss, "memory_calls": done}
    settled = [sample for sample in samples if sample[0] > calls / 4]
    return figures | ({"slope_mb": slope(settled) * 100_000} if done > _ENOUGH else {})


def slope(points: list[tuple[float, float]]) -> float:
    """Of the straight line that fits best; zero through fewer than two points."""
    if len(points) < 2:
        return 0.0
    return linear_regression(*zip(*points, strict=True)).slope


def more_workers(directory: Path, seconds: float, rounds: int) -> Found:
    """Several workers beside one: two, or four where there are as many cores."""
    several = 4 if len(AVAILABLE) >= 4 else 2
    with ExitStack() as stack:
        gateways = {
            workers: stack.enter_context(_gateway(directory, f"workers-{workers}", workers)) for workers in (1, several)
        }
        kinds = {
            workers: Scenario("chat", each, each.chat(**message()), CONNECTIONS * workers)
            for workers, each in gateways.items()
        }
        for scenario in kinds.values():
            scenario.warm_up(seconds)
        turns = [{w: take(each, seconds) for w, each in kinds.items()} for _ in range(rounds)]
    return {
        f"times_{several}": median(each[several].per_second / each[1].per_second for each in turns),
        "cpu_us_1": median(each[1].cpu_us for each in turns),
        f"cpu_us_{several}": median(each[several].cpu_us for each in turns),
        "cores": len(AVAILABLE),
    }


def bodies(directory: Path, seconds: float, rounds: int) -> Found:
    """CPU of calls with an agent's body, and with a prompt of a megabyte beside an app that only moves it."""
    cores = share_out()
    with _gateway(directory, "bodies") as gateway, servers.upstream(directory / "plain", cores) as provider:
        home = directory / "bare"
        home.mkdir()
        port = servers.free_port()
        command = servers.python(
            "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gevent", "bench.bare:app"
        )
        environment = {"PYTHONPATH": str(servers.ROOT), "UPSTREAM": provider.url.removeprefix("http://")}
        with running("bare", command, home, cores.gateway, environment, port, workers=1) as bare:
            bare.wait()
            large = message("All work and no play. " * (_MB // 22) + load.NUMBER)
            kinds = {
                "agent": Scenario("agent", gateway, gateway.chat(**scenarios.agent()), _FEW),
                "large": Scenario("large", gateway, gateway.chat(**large), _FEW),
                "bare": Scenario("bare", bare, bare.chat(**large), _FEW),
            }
            for each in kinds.values():
                each.warm_up(seconds)
            turns = [{name: take(each, seconds) for name, each in kinds.items()} for _ in range(rounds)]
    costs = {name: median(turn[name].cpu_us for turn in turns) / 1000 for name in kinds}
    return {
        "agent_cpu_ms": costs["agent"],
        "megabyte_cpu_ms": costs["large"] - costs["bare"],
        "moving_cpu_ms": costs["bare"],
    }


def mixed(directory: Path, seconds: float) -> Found:
    """The p99 of small calls where a tenth of all have 2 MB, as a multiple of theirs alone."""
    with _gateway(directory, "mixed") as gateway:
        small = gateway.chat(**message())
        large = gateway.chat(**message("All work and no play. " * (2 * _MB // 22)))
        p99 = [_small_p99(gateway, small, other, seconds) for other in (small, small, large)][1:]  # the first warms up
    return {"mixed_p99": p99[1] / p99[0], "mixed_alone_ms": p99[0] * 1000, "mixed_ms": p99[1] * 1000}


def _small_p99(gateway: Server, small: load.Call, other: load.Call, seconds: float) -> float:
    """In seconds, on connections with a thread each: a body that is still being sent holds no other call up."""

    def connection(number: int) -> load.Outcome:
        kinds = [small.requests()] * (_MIXED - 1) + [other.requests()]
        turns = chain(kinds[number:], cycle(kinds))  # so that not all send their large ones at once
        return load.drive(gateway.url, (next(kind) for kind in turns), 1, seconds)

    with ThreadPoolExecutor(_MIXED) as pool:
        outcomes = list(pool.map(connection, range(_MIXED)))
    return percentile(
        [took for each in outcomes for took, size in zip(each.latencies, each.sizes, strict=True) if size < _MB], 0.99
    )


def crash(directory: Path) -> Found:
    """The longest time, of several, from the kill of the only worker to the first answer."""
    with _gateway(directory, "crash") as gateway:
        return {"crash_s": max(_replaced(gateway) for _ in range(_ATTEMPTS))}


def _replaced(gateway: Server) -> float:
    (worker,) = children(gateway.process.pid)
    os.kill(worker, signal.SIGKILL)
    begun = time.monotonic()
    gateway.wait()
    return time.monotonic() - begun
