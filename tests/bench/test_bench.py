"""`python -m bench` for real, as short as it can be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.scenarios import NAMES

ROOT = Path(__file__).parents[2]


def test_every_scenario_completes_without_errors_and_costs_cpu_time() -> None:
    command = [sys.executable, "-m", "bench", "--rounds", "1", "--seconds", "0.3", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = {(row["scenario"], row["connections"]): row for row in report["rows"]}
    assert {name for name, _ in rows} == set(NAMES)
    assert len(rows) == 11
    for row in rows.values():
        assert row["errors"] == {}
        assert row["median"]["cpu_us"] > 0
    assert rows["upstream", 1]["added_p50_ms"] > 0
    assert rows["stream", 1]["added_p50_ms"] > 0
    assert all(sizes["private"] > 0 for sizes in report["memory_mb"].values())
    assert all(row["median"]["first_p50_ms"] <= row["median"]["p50_ms"] for row in rows.values())
    in_table = [line.split()[0] for line in done.stderr.splitlines() if line.startswith(NAMES)]
    assert in_table == [name for name, _ in rows]
