"""What many keys cost beside CPU, which `bench.growth` tells: `python -m bench.keys`.

Calls are spread over all keys, with a limit of every unit each, and the workers' memory is printed. Then keys are
revoked, one after the other, and each worker is asked until it refuses.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench import load, ours, servers
from bench.kernel import children, machine, memory
from bench.scenarios import CONNECTIONS, spread_over
from bench.servers import Server
from gateway.policy import keys
from gateway.stores.ledger import Database

_REVOKED = 20


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.keys", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    print(machine())
    cores = servers.share_out(asked.workers)
    os.sched_setaffinity(0, cores.load)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-keys-")))
        upstream = stack.enter_context(servers.upstream(directory / "upstream", cores))
        upstream.wait()
        data = directory / "data"
        database = ours.ledger(data)
        begun = time.monotonic()
        credentials = ours.fill(database, asked.keys)
        print(f"made {asked.keys} keys, each with a limit of every unit, in {time.monotonic() - begun:.1f} s")
        start = ours.gateway(
            directory / "gateway", cores, upstream, asked.workers, credential=credentials[0], DATA_DIR=str(data)
        )
        gateway = stack.enter_context(start)
        gateway.wait()
        print(f"memory of a worker at the start, PSS {_pss(gateway):.0f} MB")
        load.drive(gateway.url, spread_over(gateway, credentials), CONNECTIONS, 1 + asked.keys / 500)
        print(f"after calls of every key, PSS {_pss(gateway):.0f} MB")
        times = sorted(_revoke(database, gateway, key) for key in credentials[:_REVOKED])
        print(
            f"revoked in every worker after: median {median(times):.3f} s, at most {times[-1]:.3f} s, of {len(times)}"
        )
        database.close()


def _pss(server: Server) -> float:
    return median(memory(pid)["pss"] for pid in children(server.process.pid))


def _revoke(database: Database, server: Server, credential: str) -> float:
    """Seconds from a key's revocation until no worker lets it in: connections stay with the worker that took them."""
    parts = urlsplit(server.url)
    request = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nx-api-key: {credential}\r\n\r\n".encode()
    with ExitStack() as stack:
        to = parts.hostname or "", parts.port or 80
        kept = [stack.enter_context(socket.create_connection(to)) for _ in range(8 * server.workers)]
        key_id = credential.split("_")[1]
        database.transact([lambda tx: keys.revoke_key(tx, key_id, 1)])
        begun = time.monotonic()
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
