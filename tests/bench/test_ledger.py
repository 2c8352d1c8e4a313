"""`python -m bench.ledger` for real, as short as it can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_row_for_each_number_of_workers_and_callers() -> None:
    command = [sys.executable, "-m", "bench.ledger", "--workers", "1", "2", "--callers", "1", "4", "--seconds", "0.3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    heading, *rows = [line.split() for line in done.stdout.splitlines()]
    assert heading[:2] == ["workers", "callers"]
    assert [row[:2] for row in rows] == [["1", "1"], ["1", "4"], ["2", "1"], ["2", "4"]]
    assert all(float(figure) > 0 for row in rows for figure in row)
