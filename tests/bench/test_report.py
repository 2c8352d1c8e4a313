"""The figures of the benchmark: percentiles, medians over rounds, and a table that hides nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.kernel import Cpu
from bench.load import Outcome, requests
from bench.report import Run, measured, percentile, summarize, table
from bench.scenarios import HIT, Scenario
from bench.servers import Server, share_out
from bench.upstream import PIECES


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([3.0, 1.0, 2.0, 4.0], 0.5, 2.0), ([7.0], 0.99, 7.0), ([float(n) for n in range(1, 201)], 0.99, 198.0)],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], share: float, found: float
) -> None:
    assert percentile(values, share) == found


def rounds(*latencies: float, errors: int = 0, marked: int = 10) -> list[Run]:
    """A round of ten calls in one second for each latency; each call took 100 us of CPU, the first byte half as long."""
    wrong = Counter({"status 500": errors} if errors else {})
    outcomes = [Outcome(1.0, [latency] * 10, [latency / 2] * 10, marked, wrong) for latency in latencies]
    return [measured(outcome, Cpu(0.0008, 0.0002)) for outcome in outcomes]


def scenario(name: str, streams: bool = False) -> Scenario:
    mark = HIT if name == "cache-hit" else None
    return Scenario(name, Server("http://h:1", 1, (1,)), requests("http://h:1/"), 32, "", streams, mark)


def test_a_row_has_the_medians_of_its_rounds_and_what_it_adds_to_direct_calls_of_the_same_round() -> None:
    row = summarize(scenario("upstream"), rounds(0.004, 0.002, 0.009), rounds(0.003, 0.001, 0.001))
    assert (row.median.p50_ms, row.added_p50_ms, row.added_p99_ms) == pytest.approx((4, 1, 1))
    assert (row.median.cpu_us, row.median.cpu_user_us, row.median.cpu_system_us) == pytest.approx((100, 80, 20))
    assert (row.slowest, row.fastest, row.errors) == (10, 10, {})


def test_what_is_added_to_a_stream_is_added_to_its_first_byte() -> None:
    row = summarize(scenario("stream", streams=True), rounds(0.004, 0.002, 0.009), rounds(0.003, 0.001, 0.001))
    assert (row.median.p50_ms, row.median.first_p50_ms, row.added_p50_ms) == pytest.approx((4, 2, 0.5))


def test_streams_have_a_table_of_their_own_and_their_price_in_calls() -> None:
    streams = [
        summarize(scenario("direct-stream", streams=True), rounds(0.001), None),
        summarize(scenario("stream", streams=True), rounds(0.003, errors=2), rounds(0.001)),
    ]
    heading, *lines = table(streams).splitlines()
    assert len(heading) == len(lines[0]) == len(lines[1])
    assert lines[0].split()[-7:] == ["0.50", "0.50", "-", "-", "1.00", "10,000", "0"]
    assert lines[1].split()[1:4] == ["32", "10.0", "10.0-10.0"]
    assert lines[1].split()[-7:] == ["1.50", "1.50", "1.00", "1.00", "3.00", "10,000", "2"]
    assert lines[2:] == ["ERRORS in stream, c=32: 2 x status 500"]
    both = table([summarize(scenario("upstream"), rounds(0.001), None), *streams]).splitlines()
    assert [line.split(" ")[0] for line in both[:6]] == [
        "scenario",
        "upstream",
        "",
        "scenario",
        "direct-stream",
        "stream",
    ]
    assert (
        both[6]
        == f"One stream costs as much CPU as 1.0 calls of upstream, 1 us for each of its {PIECES} pieces of text"
    )


def test_a_run_too_short_for_a_tick_has_no_figure_per_core() -> None:
    idle = measured(Outcome(1.0, [0.1], [0.1], 1), Cpu(0, 0))
    row = summarize(scenario("stream", streams=True), [idle], None)
    assert table([row]).splitlines()[1].split()[-2:] == ["-", "0"]


def test_the_table_is_aligned_and_tells_errors_and_misses() -> None:
    rows = [
        summarize(scenario("health"), rounds(0.001, errors=2), None),
        summarize(scenario("cache-hit"), rounds(0.001, 0.001, marked=9), None),
    ]
    heading, health, hit, *notes = table(rows).splitlines()
    assert len(heading) == len(health) == len(hit)
    assert health.split()[-1] == "2"
    assert notes == [
        "ERRORS in health, c=32: 2 x status 500",
        "NOT A HIT: 90.00% of the responses in cache-hit came from the cache",
    ]


@pytest.mark.parametrize(
    ("available", "workers", "gateway", "upstream", "load"),
    [
        ([0], 1, (0,), (0,), (0,)),
        ([0, 1], 2, (0,), (1,), (1,)),
        ([2, 3, 5], 1, (2,), (3,), (5,)),
        ([0, 1, 2, 3, 4, 5], 3, (0, 1, 2), (4,), (5,)),
    ],
)
def test_the_gateway_has_cores_of_its_own_where_there_are_enough(
    available: list[int], workers: int, gateway: tuple[int, ...], upstream: tuple[int, ...], load: tuple[int, ...]
) -> None:
    cores = share_out(available, workers)
    assert (cores.gateway, cores.upstream, cores.load) == (gateway, upstream, load)
