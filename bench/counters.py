"""What counting alone adds to a call: `python -m bench.counters`.

Each process takes five demands and corrects three of them, again and again: requests and tokens a minute and an hour,
and a call in flight, of one key after the other. Everything is new and in a temporary directory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.stores.counters import SharedCounters

KINDS = ("embedded", "redis", "local")


def main() -> None:
    """Print a row for each store and number of processes; with `--worker`, be one of the processes."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.counters", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--stores", choices=KINDS, nargs="+", default=["embedded", "local"])
    parser.add_argument("--redis", metavar="URL", help="an empty Redis, which `--stores redis` needs")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--worker", metavar="WHERE", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(_work(asked.stores[0], asked.worker, asked.keys, asked.seconds)))
        return
    if "redis" in asked.stores and not asked.redis:
        parser.error("--stores redis needs --redis URL")
    print("store     workers   pairs/s  CPU us/pair    p50 ms    p99 ms   disk MB    RSS MB")
    for store in asked.stores:
        for workers in asked.workers:
            print(_row(store, workers, asked.redis, asked.keys, asked.seconds), flush=True)


def _row(store: str, workers: int, redis: str | None, keys: int, seconds: float) -> str:
    with tempfile.TemporaryDirectory(prefix="bench-counters-") as directory:
        command = [sys.executable, "-m", "bench.counters", "--stores", store, "--keys", str(keys)]
        command += ["--seconds", str(seconds), "--worker", (redis or "") if store == "redis" else directory]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(workers)]  # noqa: S603
        told = [json.loads(process.communicate()[0]) for process in running]
        disk = sum(512 * file.stat().st_blocks for file in Path(directory).rglob("*"))
    times = sorted(taken for each in told for taken in each["times"])
    p50, p99 = (times[math.ceil(share * len(times)) - 1] * 1000 for share in (0.5, 0.99))
    cpu = sum(each["cpu"] for each in told) / len(times) * 1e6
    rss = max(each["rss"] for each in told)
    return (
        f"{store:8}  {workers:7}  {len(times) / seconds:8.0f}  {cpu:11.0f}  {p50:8.3f}  {p99:8.3f}  "
        f"{disk / 1e6:8.1f}  {rss / 1e6:8.1f}"
    )


def _work(store: str, where: str, keys: int, seconds: float) -> dict[str, object]:
    from gateway.stores.counters import IN_FLIGHT, Correction, Demand

    counters = _counters(store, where)
    counters.join({})
    calls = []
    for number in range(keys):
        requests, tokens = (f"{kind}{number:015}".encode() for kind in "rt")
        calls.append(
            [
                Demand(requests, 60, 10**9, 1), Demand(tokens, 60, 10**9, 500), Demand(requests, 3600, 10**9, 1),
                Demand(tokens, 3600, 10**9, 500), Demand(requests, IN_FLIGHT, 10**9, 1),
            ]
        )  # fmt: skip
    times: list[float] = []
    number, until, before = os.getpid(), time.monotonic() + seconds, time.process_time()
    while (begun := time.monotonic()) < until:
        number += 7919  # a prime: one key after the other, but not in their order
        demands = calls[number % keys]
        places = counters.take(demands).buckets
        counters.correct(
            [
                Correction(demands[1].counter, 60, places[1], 380),
                Correction(demands[3].counter, 3600, places[3], 380),
                Correction(demands[4].counter, IN_FLIGHT, places[4], 1),
            ]
        )
        times.append(time.monotonic() - begun)
    cpu, rss = time.process_time() - before, _resident()
    counters.close()
    return {"cpu": cpu, "times": times, "rss": rss}


def _counters(store: str, where: str) -> SharedCounters:
    from gateway.config import Secret
    from gateway.stores.counters.embedded import EmbeddedCounters
    from gateway.stores.counters.local import LocalCounters
    from gateway.stores.counters.redis import RedisCounters

    if store == "redis":
        return RedisCounters(Secret(where))
    return EmbeddedCounters(Path(where)) if store == "embedded" else LocalCounters()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
