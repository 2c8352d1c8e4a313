"""`python -m bench` for real, as short as it can be, without what takes peers, many streams or many calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.reach import GOALS

ROOT = Path(__file__).parents[2]
SHORT = ["--alone", "--rounds", "1", "--seconds", "0.3", "--calls", "100", "--streams", "20"]
PARTS = ("compare", "burst", "memory", "workers", "bodies", "mixed", "crash")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run has written."""
    folder = tmp_path_factory.mktemp("results")
    parts = [word for part in PARTS for word in ("--only", part)]
    command = [sys.executable, "-m", "bench", *SHORT, *parts, "--save", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    in_table = {line.split("  ")[0] for line in done.stdout.splitlines()}
    assert in_table >= {goal.text for goal in GOALS}
    assert "| goal | measured |" in (folder / "bench.md").read_text()
    found: dict[str, object] = json.loads((folder / "bench.json").read_text())
    return found


def test_every_scenario_completes_without_errors_and_costs_cpu_time(report: dict[str, list[dict]]) -> None:
    rows = {(row["scenario"], row["server"], row["connections"]): row for row in report["rows"]}
    kinds = [("chat", 1), ("chat", 32), ("stream", 1), ("stream", 16)]
    expected = {(name, server, connections) for server in ("direct", "ours") for name, connections in kinds}
    assert set(rows) == expected | {("health", "ours", 32), ("cache hit", "ours, cache", 32)}
    for row in rows.values():
        assert (row["errors"], row["hits"]) == ({}, 1)
        assert row["cpu_us"][0] > 0
    assert rows["chat", "ours", 1]["added_p50_ms"][0] > 0
    assert rows["stream", "ours", 1]["added_p50_ms"][0] > 0
    assert rows["chat", "direct", 1]["added_p50_ms"] is None


def test_every_probe_finds_its_figures(report: dict[str, dict[str, float]]) -> None:
    figures = report["figures"]
    needs_more = {"times_mlflow", "times_portkey", "times_litellm", "streams_tensorzero", "slope_mb", "times_4"}
    assert set(figures) >= {goal.name for goal in GOALS} - needs_more - {"times_2", "open_errors", "open_kb"}
    assert figures["burst_errors"] == 0
    assert 2 < figures["burst_s"] < 20
    assert 0 < figures["crash_s"] < 20
    assert figures["moving_cpu_ms"] > 0


def test_streams_that_stay_open_all_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--streams", "20", "--only", "open", "--save", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "bench.json").read_text())["figures"]["open_errors"] == 0


def test_growth_of_a_ledger_and_of_limits(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.growth", "--rounds", "1", "--seconds", "0.3", "--rows", "1000"]
    command += ["--only", "ledger", "--only", "limits on each call", "--save", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    curves = json.loads((tmp_path / "growth.json").read_text())["curves"]
    assert list(curves["ledger"]) == ["0 rows", "1,000 rows"]
    assert list(curves["limits on each call"]) == ["1", "4", "10", "25", "50"]
    assert all(point["median"] > 0 for points in curves.values() for point in points.values())
