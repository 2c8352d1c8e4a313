"""`python -m bench.counters` for real, as short as it can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fakes.redis_server import RedisServer

ROOT = Path(__file__).parents[2]


def test_a_row_for_each_store(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        command = [
            sys.executable,
            "-m",
            "bench.counters",
            "--stores",
            "embedded",
            "redis",
            "local",
            "--redis",
            server.url,
        ]
        command += ["--workers", "2", "--keys", "50", "--seconds", "0.2"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    heading, *rows = [line.split() for line in done.stdout.splitlines()]
    assert heading[:2] == ["store", "workers"]
    assert [row[:2] for row in rows] == [[kind, "2"] for kind in ("embedded", "redis", "local")]
    assert all(float(figure) > 0 for row in rows for figure in row[1:6])
