"""What the ledger alone adds to a call: `python -m bench.ledger`.

Each worker is a process of its own with gevent, as the service's are, and as many callers as are asked for; a caller
holds, settles, and does it again. The ledger is a new one in a temporary directory, or in a PostgreSQL database that
is there for it, with one hard limit in USD.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path


def main() -> None:
    """Print a row for each number of workers and callers; with `--worker`, be one of the workers."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.ledger", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--database", metavar="URL", help="postgresql://… of a database that may be written to")
    parser.add_argument("--worker", type=Path, metavar="DIRECTORY", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        from gevent import monkey

        monkey.patch_all()
        print(json.dumps(_work(asked.worker, asked.database, asked.callers[0], asked.seconds)))
        return
    print("workers  callers   pairs/s  CPU us/pair    p50 ms    p99 ms")
    for workers in asked.workers:
        for callers in asked.callers:
            pairs, cpu, times = _run(asked.database, workers, callers, asked.seconds)
            p50, p99 = (times[math.ceil(share * len(times)) - 1] * 1000 for share in (0.5, 0.99))
            print(
                f"{workers:7}  {callers:7}  {pairs / asked.seconds:8.0f}  {cpu / pairs * 1e6:11.0f}  "
                f"{p50:8.2f}  {p99:8.2f}",
                flush=True,
            )


def _run(url: str | None, workers: int, callers: int, seconds: float) -> tuple[int, float, list[float]]:
    """Pairs of a hold and a settlement, CPU seconds, and how long each pair was waited for, ascending, in seconds."""
    from gateway.accounting import reports
    from gateway.config.secrets import Secret
    from gateway.stores.ledger.opening import open_ledger

    with tempfile.TemporaryDirectory(prefix="bench-ledger-") as directory:
        database, _ = open_ledger(Secret(url) if url else None, Path(directory))
        database.prepare()
        database.transact([lambda tx: reports.set_limit(tx, "tenant:default", "usd/month", "1000000", "hard")])
        database.close()
        command = [sys.executable, "-m", "bench.ledger", "--worker", directory, "--seconds", str(seconds)]
        command += ["--callers", str(callers), *(["--database", url] if url else [])]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(workers)]  # noqa: S603
        told = [json.loads(process.communicate()[0]) for process in running]
    times = sorted(taken for each in told for taken in each["times"])
    return len(times), sum(each["cpu"] for each in told), times


def _work(directory: Path, url: str | None, callers: int, seconds: float) -> dict[str, object]:
    import gevent

    from gateway.accounting.bounds import Bound
    from gateway.accounting.entries import Claim
    from gateway.accounting.ledger import Ledger
    from gateway.accounting.prices import Price, Rate
    from gateway.config.secrets import Secret
    from gateway.model import Usage
    from gateway.policy.subjects import Payer
    from gateway.stores.ledger.opening import open_ledger

    database, owners = open_ledger(Secret(url) if url else None, directory)
    ledger = Ledger(database, owners)
    bound = Bound(500, 500, Price(Rate(10**12), Rate(10**12)))
    facts = {
        "request_id": "r" * 32, "trace_id": None, "method": "POST", "path": "/v1/chat/completions",
        "requested_model": "m", "stream": False, "session_id": None, "client": "bench", "client_address": "127.0.0.1",
        "tenant": "default", "key_id": "env-00000000", "user_id": "u", "names": "m", "model": "tiny", "provider": "up",
        "prices": '{"input": "0.000001", "output": "0.000001"}',
    }  # fmt: skip
    claim = Claim("", 1, "", Payer("default", "env-00000000", "u", ("m",)), facts, bound, replace(bound, strict=True))
    ending = {"status": 200, "duration_ms": 800, "overhead_ms": 0.7, "finish_reason": "stop"}
    times: list[float] = []

    def call(name: str) -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            call_id, begun = f"{name}-{number}", time.monotonic()
            ledger.hold(claim._replace(call_id=call_id))
            ledger.settle(call_id, 1, Usage(20, 100), 120_000, ending)
            times.append(time.monotonic() - begun)

    ledger.open()
    until, before = time.monotonic() + seconds, time.process_time()
    gevent.joinall([gevent.spawn(call, f"{id(ledger)}-{time.time_ns()}-{caller}") for caller in range(callers)])
    cpu = time.process_time() - before
    ledger.close()
    return {"cpu": cpu, "times": times}


if __name__ == "__main__":
    main()
