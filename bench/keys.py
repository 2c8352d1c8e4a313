"""What many keys cost: `python -m bench.keys`.

The same calls to the same gateway, first with one key and no limits, then spread over all keys with five limits each:
requests and tokens a minute, an hour's tokens, calls in flight, and a month's USD. Turns of both are taken in one run,
each on a gateway of its own. Then keys are revoked, one after the other, and each worker is asked until it refuses.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import socket
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench import load, servers
from bench.kernel import cpu, machine, memory
from bench.servers import Server
from gateway.accounting import reports
from gateway.policy import keys
from gateway.stores.ledger import Operation, Transaction
from gateway.stores.ledger.sqlite import SqliteDatabase

_LIMITS = (
    ("requests/minute", "1000000"), ("tokens/minute", "1000000000"), ("tokens/hour", "1000000000"),
    ("concurrency", "1000"), ("usd/month", "1000000"),
)  # fmt: skip
_BODY = json.dumps({"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 16})
_BATCH = 500  # keys of one transaction
_KEY = "bench-0123456789abcdef"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.keys", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    asked = parser.parse_args()
    print(machine())
    cores = servers.share_out(sorted(os.sched_getaffinity(0)), asked.workers)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-keys-")))
        upstream = stack.enter_context(servers.upstream(directory, cores, 0, 0))
        filled = directory / "filled"
        begun = time.monotonic()
        credentials = _fill(filled, asked.keys)
        print(f"made {asked.keys} keys and {5 * asked.keys} limits in {time.monotonic() - begun:.1f} s")
        start = partial(servers.gateway, directory, cores, asked.workers, "gevent", _KEY, upstream)
        gateways = {
            "one key, no limits": (stack.enter_context(start()), [_KEY]),
            "all keys": (stack.enter_context(start(DATA_DIR=str(filled))), credentials),
        }
        for name, (server, of) in gateways.items():
            _drive(server, of, asked.connections, 1 + asked.keys / 2000)  # every key once, and what is read at first
            print(f"{name}: memory of a worker, PSS {_pss(server):.0f} MB")
        costs: dict[str, list[float]] = {name: [] for name in gateways}
        for _, (name, (server, of)) in itertools.product(range(asked.rounds), gateways.items()):
            costs[name].append(_drive(server, of, asked.connections, asked.seconds))
        for name, each in costs.items():
            print(f"{name}: CPU us/call {median(each):.0f} ({min(each):.0f} to {max(each):.0f})")
        print(f"all keys: memory of a worker after that, PSS {_pss(gateways['all keys'][0]):.0f} MB")
        times = sorted(_revoke(filled, gateways["all keys"][0], key) for key in credentials[:20])
        print(
            f"revoked in every worker after: median {median(times):.3f} s, at most {times[-1]:.3f} s, of {len(times)}"
        )


def _fill(data_dir: Path, number: int) -> list[str]:
    """Make a ledger with so many keys; their credentials."""
    database = SqliteDatabase(data_dir)
    database.prepare()

    def one(tx: Transaction) -> str:
        credential = keys.create_key(tx, "default", time.time_ns() // 10**6)
        for rate, value in _LIMITS:
            reports.set_limit(tx, f"key:{credential.split('_')[1]}", rate, value, None)
        return credential

    credentials: list[str] = []
    for begun in range(0, number, _BATCH):
        operations: list[Operation] = [one] * min(_BATCH, number - begun)
        credentials += [outcome.result for outcome in database.transact(operations)]
    database.close()
    return credentials


def _drive(server: Server, credentials: list[str], connections: int, seconds: float) -> float:
    """CPU microseconds of a call, in all of the gateway's processes."""
    each = [
        load.requests(
            f"{server.url}/v1/chat/completions",
            {"authorization": f"Bearer {credential}", "content-type": "application/json"},
            _BODY,
        )
        for credential in credentials
    ]
    before = sum(cpu([server.pid, *server.workers]))
    outcome = load.drive(server.url, map(next, itertools.cycle(each)), connections, seconds)
    if outcome.errors:
        raise SystemExit(f"errors: {dict(outcome.errors)}")
    return (sum(cpu([server.pid, *server.workers])) - before) / len(outcome.latencies) * 1e6


def _pss(server: Server) -> float:
    return median(memory(pid)["pss"] for pid in server.workers)


def _revoke(data_dir: Path, server: Server, credential: str) -> float:
    """Seconds from a key's revocation until no worker lets it in: connections stay with the worker that took them."""
    parts = urlsplit(server.url)
    request = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nx-api-key: {credential}\r\n\r\n".encode()
    with ExitStack() as stack:
        to = parts.hostname or "", parts.port or 80
        kept = [stack.enter_context(socket.create_connection(to)) for _ in range(8 * len(server.workers))]
        key_id = credential.split("_")[1]
        database = SqliteDatabase(data_dir)
        database.transact([lambda tx: keys.revoke_key(tx, key_id, 1)])
        begun = time.monotonic()
        database.close()
        while any(_status(connection, request) != b"401" for connection in kept):
            time.sleep(0.005)
        return time.monotonic() - begun


def _status(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65_536)
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    while found and len(body) < int(found[1]):
        body += connection.recv(65_536)
    return head.split(b" ")[1]


if __name__ == "__main__":
    main()
