"""The figures of the benchmark: percentiles, medians over rounds, and tables that hide nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import ours, plot
from bench.kernel import cpu, family, loop_us
from bench.load import Call, Figures, Outcome, percentile
from bench.probes import slope
from bench.reach import GOALS, Goal, notes, of_rows
from bench.reach import table as goals
from bench.report import Row, aligned, faults, markdown, number, spread, summarize, tables
from bench.scenarios import Scenario, Turn
from bench.servers import Server, share_out


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([3.0, 1.0, 2.0, 4.0], 0.5, 2.0),
        ([7.0], 0.99, 7.0),
        ([float(n) for n in range(1, 201)], 0.99, 198.0),
        ([], 0.5, 0.0),
    ],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], share: float, found: float
) -> None:
    assert percentile(values, share) == found


def rounds(*latencies: float, errors: int = 0, marked: int = 10) -> list[Turn]:
    """A turn of ten calls in one second for each latency in ms; a call took 100 us of CPU, the first byte half as long."""
    wrong = {"status 500": errors} if errors else {}
    return [Turn(Figures(10, 1.0, ms, ms, marked, ms / 2, ms / 2, wrong), 100.0, 400.0) for ms in latencies]


def scenario(name: str, server: str = "ours", connections: int = 32) -> Scenario:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Scenario(
        name, Server(server, process, Path("unread"), 0, 1), Call("http://h:1/"), connections, name == "stream"
    )


def row(name: str, *latencies: float, server: str = "ours", connections: int = 32, marked: int = 10) -> Row:
    return summarize(
        scenario(name, server, connections), rounds(*latencies, marked=marked), rounds(*[1.0] * len(latencies))
    )


def test_a_row_has_the_medians_of_its_rounds_and_what_it_adds_to_direct_calls_of_the_same_round() -> None:
    found = summarize(scenario("chat"), rounds(4, 2, 9), rounds(3, 1, 1))
    assert found.p50_ms == (4, 2, 9)
    assert found.added_p50_ms == found.added_p99_ms == (1, 1, 8)
    assert (found.cpu_us, found.per_second, found.errors) == ((100, 100, 100), (10, 10, 10), {})
    assert summarize(scenario("chat"), rounds(4), None).added_p50_ms is None


def test_servers_are_compared_in_each_round_since_the_machine_may_be_slower_in_the_next() -> None:
    turns = {
        name: [Turn(Figures(calls, 1.0, 1, 1, calls, 1, 1, {}), 100.0, 400.0) for calls in rates]
        for name, rates in {"ours": (300, 90, 200), "mlflow": (200, 100, 100)}.items()
    }
    ours, other = (summarize(scenario("chat", name), found, None) for name, found in turns.items())
    assert (ours.times(other), ours.per_second.median / other.per_second.median) == (1.5, 2)


def test_what_is_added_to_a_stream_is_added_to_its_first_byte() -> None:
    found = summarize(scenario("stream"), rounds(4, 2, 9), rounds(3, 1, 1))
    assert found.p50_ms == (4, 2, 9)
    assert found.first_p50_ms == (2, 1, 4.5)
    assert found.added_p50_ms == (0.5, 0.5, 4)


def test_calls_and_streams_have_tables_of_their_own_and_what_spoils_them_is_told() -> None:
    bad = summarize(scenario("chat"), rounds(3, errors=2), None)
    calls, streams = tables([bad, row("stream", 3)])
    assert (calls[0][0], streams[0][0]) == ("call", "stream")
    assert len(calls[0]) == len(calls[1][0])
    assert len(streams[0]) == len(streams[1][0])
    assert calls[1][0][-1] == "2"
    assert faults([bad, row("cache hit", 3, marked=9)]) == [
        "ERRORS in chat of ours, c=32: 2 x status 500",
        "chat of ours, c=32 had 0% of its core: something else ran there, or the load was too slow",
        "NOT A HIT: 10.00% of the answers in cache hit of ours, c=32",
    ]


def test_a_table_is_aligned_and_can_be_markdown() -> None:
    table = (["what", "ms"], [["a", "1.50"], ["longer", "100"]])
    assert aligned(*table).splitlines() == ["what      ms", "a       1.50", "longer   100"]
    assert markdown(*table).splitlines()[1] == "| --- | --- |"


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (1234.5, "1,234"), (45.67, "45.7"), (-0.123, "-0.12")])
def test_a_number_has_the_digits_that_count(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_goal_is_reached_at_its_bound_and_not_measured_without_a_peer() -> None:
    rows = [row("chat", 3, connections=each) for each in (1, 32)] + [
        row("stream", 3, connections=each) for each in (1, 16)
    ]
    figures = of_rows([*rows, row("cache hit", 30), row("chat", 3, server="mlflow")])
    assert figures["added_p50_ms"] == 2
    assert figures["times_mlflow"] == 1
    assert "times_litellm" not in figures
    lines = {line[0]: line[1:] for line in goals(figures)[1]}
    assert len(lines) == len(GOALS)
    assert lines["calls/s, c=32, in MLflow's"] == ["1.00", ">= 1", "reached", ">= 2", "NOT reached"]
    assert lines["calls/s, c=32, in LiteLLM's"] == ["not measured", ">= 18", "-", "-", "-"]
    assert Goal("x", "x", 5).reached(5, 5) == "reached"
    assert notes({"memory_calls": 2000.0}) == ["a worker's memory is that after 2,000 calls"]


def test_a_line_through_samples() -> None:
    assert slope([(0, 1), (100, 3), (200, 5)]) == pytest.approx(0.02)
    assert slope([(0, 1)]) == 0


@pytest.mark.parametrize("many", [0, 1, 4, 10, 50])
def test_so_many_limits_and_no_two_alike(many: int) -> None:
    made = ours.limits(many, "abc")
    assert len(set(made)) == len(made) == many
    assert {rate.partition("/")[0] for _, rate in ours.limits(4, "abc")} == {"requests", "tokens", "concurrency", "usd"}


def test_the_kernel_counts_all_threads_of_all_processes() -> None:
    work = "import threading; t = threading.Thread(target=lambda: sum(range(3 * 10**6))); t.start(); t.join(); input()"
    with subprocess.Popen(["sh", "-c", f"{sys.executable} -c '{work}'; true"], stdin=subprocess.PIPE) as shell:
        while cpu(family(shell.pid)) < 0.02 or len(family(shell.pid)) < 2:
            assert shell.poll() is None
        assert shell.stdin
        shell.stdin.write(b"\n")
    assert loop_us(min(share_out().gateway)) > 0
    with pytest.raises(OSError, match="Invalid"):
        cpu([shell.pid])


def test_a_plot_is_drawn_where_matplotlib_is(tmp_path: Path) -> None:
    assert spread([3.0, 1.0, 2.0]) == (2, 1, 3)
    plot.comparison(
        [row("chat", 3, connections=1), row("chat", 3), row("stream", 3, connections=16)], tmp_path / "a.png"
    )
    plot.growth({"keys": {"1": 5.0, "100": 6.0}}, tmp_path / "b.png")
    drawn = {file.name for file in tmp_path.iterdir()}
    assert drawn in (set(), {"a.png", "b.png"})


def test_an_outcome_in_numbers() -> None:
    found = Outcome(2.0, [0.003, 0.001], [0.002, 0.001], [9, 9], 2).figures()
    assert found == Figures(2, 2.0, 1.0, 3.0, 2, 1.0, 2.0, {})


@pytest.mark.parametrize(
    ("available", "workers", "gateway", "upstream", "load"),
    [
        ([0], 1, (0,), (0,), (0,)),
        ([0, 1], 1, (0,), (1,), (1,)),
        ([0, 1], 2, (0, 1), (1,), (1,)),
        ([2, 3, 5], 1, (2,), (3,), (5,)),
        ([0, 1, 2, 3], 4, (0, 1, 2, 3), (2,), (3,)),
        ([0, 1, 2, 3, 4, 5], 3, (0, 1, 2), (4,), (5,)),
    ],
)
def test_the_gateway_has_cores_of_its_own_where_there_are_enough(
    available: list[int], workers: int, gateway: tuple[int, ...], upstream: tuple[int, ...], load: tuple[int, ...]
) -> None:
    cores = share_out(workers, available)
    assert (cores.gateway, cores.upstream, cores.load) == (gateway, upstream, load)
