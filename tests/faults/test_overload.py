"""Five times as many calls as a worker takes on: what it answers, what it refuses, and how soon it is well."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import KEY
from tests.fakes.closed_loop import ClosedLoop
from tests.fakes.open_loop import Met, OpenLoop, percentile
from tests.faults.rig import LONG, more_files, tell
from tests.service.conftest import Service
from tests.service.test_overload import all_places_are_free, gauge

PLACES = 100 if LONG else 40
LATENCY = 2 if LONG else 1  # seconds of the model's answer
SECONDS = 60 if LONG else 5
AFTER = 20 if LONG else 5  # seconds of as many calls as fit
FLOOD = 20 if LONG else 3  # seconds of clients that never pause
MODEL = f"offline/echo?latency_ms={LATENCY * 1000}"


def told(what: str, met: list[Met], figures: Callable[..., None]) -> tuple[list[float], list[float]]:
    """How long answers and refusals took; there is nothing else."""
    answered, shed = ([one.seconds for one in met if one.status == status] for status in (200, 503))
    assert len(answered) + len(shed) == len(met)
    text = f"{what}: {len(answered)} of {len(met)} answered, p99 {percentile(answered, 0.99):.2f} s"
    if shed:
        text += f"; {len(shed)} refused, p50 {percentile(shed, 0.5) * 1000:.1f} ms"
        text += f", p99 {percentile(shed, 0.99) * 1000:.1f} ms, most {max(shed) * 1000:.0f} ms"
    figures(text, n=len(met))
    return answered, shed


@pytest.mark.shows("P8", "F17")
@pytest.mark.parametrize("worker", ["gevent", "gthread"])
def test_a_minute_of_five_times_the_bound_leaves_no_trace(
    worker: str, start: Callable[..., Service], figures: Callable[..., None]
) -> None:
    yaml = f"overload: {{max_in_flight: {PLACES}}}"
    service = start(worker, yaml, files=more_files(), WEB_CONCURRENCY="1")
    tell(f"{worker}: {PLACES} places, answers of {LATENCY} s")
    capacity = PLACES / LATENCY
    answered, shed = told(f"{worker}, 5x", OpenLoop(service.port, KEY, MODEL, 5 * capacity, SECONDS).join(), figures)
    assert len(answered) >= 0.9 * capacity * SECONDS
    assert percentile(shed, 0.5) < 0.02
    assert percentile(shed, 0.99) < (0.02 if LONG else 0.5), "for 20 ms nobody else may need the processor"
    after = OpenLoop(service.port, KEY, MODEL, 0.8 * capacity, AFTER).join()
    told(f"{worker}, then 0.8x", after, figures)
    first = min(one.sent for one in after)
    assert all(one.status == 200 for one in after if one.sent > first + 5)
    service.wait_for(lambda: all_places_are_free(service, PLACES), 5)
    assert gauge(service, "queued_requests") == 0


def processor_time(service: Service) -> float:
    """Seconds of it that the workers have had: what neighbours and clients took does not count."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in service.workers()]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


@pytest.mark.shows("P8")
@pytest.mark.parametrize("worker", ["gevent", "gthread"] if LONG else ["gevent"])
def test_of_the_processor_that_a_flood_takes_up_answers_keep_their_share(
    worker: str, start: Callable[..., Service], figures: Callable[..., None]
) -> None:
    """Models that take no time, and clients that come back at once, whatever Retry-After says. How long these are
    refused for is not judged: as nobody pauses, it is by how many they are."""
    yaml = f"overload: {{max_in_flight: {PLACES}}}"
    service = start(worker, yaml, files=more_files(), WEB_CONCURRENCY="1")

    def rate(clients: int, seconds: float) -> tuple[float, list[Met]]:
        """Answers for each second of the processor's time, and all that clients met."""
        before = processor_time(service)
        met = ClosedLoop(service.port, KEY, "offline/echo", clients, seconds).join()
        return sum(one.status == 200 for one in met) / (processor_time(service) - before), met

    rate(PLACES, 1)
    peak, _ = rate(PLACES, FLOOD / 2)
    clients = 5 * (PLACES + PLACES // 10)
    goodput, met = rate(clients, FLOOD)
    after = max(rate(PLACES, FLOOD / 4)[0] for _ in range(4 if LONG else 2))
    told(f"{worker}, {clients} clients without a pause", met, figures)
    figures(f"{worker}, {PLACES} places: {peak:.0f} answers per second of the processor, {goodput / peak:.0%} of them in "
            f"the flood and {after / peak:.0%} after it", len(met))  # fmt: skip
    assert goodput >= (0.4 if LONG else 0.3) * peak
    assert after >= (0.9 if LONG else 0.5) * peak
