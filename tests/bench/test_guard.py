"""The guard's comparison, and the calls of one scenario without the counting."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.guard import SCENARIOS, STORED, compared

ROOT = Path(__file__).parents[2]


def test_only_what_differs_by_more_than_the_tolerance_is_told_and_only_growth_fails() -> None:
    stored = {"same": 1000, "within": 1000, "below": 1000, "grown": 1_000_000, "shrunk": 1000}
    measured = {"same": 1000, "within": 1049, "below": 951, "grown": 1_051_000, "shrunk": 900, "new": 7}
    grown, others = compared(stored, measured)
    assert grown == ["GROWN grown: stored 1,000,000, measured 1,051,000: +5.1%, tolerance 5%"]
    assert others == [
        "SHRUNK shrunk: stored 1,000, measured 900: -10.0%, tolerance 5%; renew the stored figure with --save",
        "new: no figure is stored; --save stores it",
    ]


def test_every_stored_build_has_a_figure_for_every_scenario() -> None:
    assert all(set(figures) == set(SCENARIOS) for figures in json.loads(STORED.read_text(encoding="utf-8")).values())


def test_the_calls_are_made_and_answered_as_they_should_be() -> None:
    command = [sys.executable, "-m", "bench.guard", "--profile", "tools"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Ordered by: internal time" in done.stderr
