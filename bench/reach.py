"""What must be reached, what is aimed at, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import ours
from bench.report import Row, Table, number
from bench.scenarios import CONNECTIONS, STREAMS


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and its bounds.

    Attributes:
        name: of the figure among those measured.
        must, aim: what it is to be at most; None where there is none.
        more: at least, instead.
    """

    name: str
    text: str
    must: float
    aim: float | None = None
    more: bool = False

    def reached(self, value: float, bound: float | None) -> str:
        if bound is None:
            return "-"
        return "reached" if (value >= bound if self.more else value <= bound) else "NOT reached"


GOALS = (
    Goal("cpu_us", f"CPU us per whole call, c={CONNECTIONS}", 700, 500),
    Goal("times_mlflow", f"calls/s, c={CONNECTIONS}, in MLflow's", 1, 2, more=True),
    Goal("times_portkey", f"calls/s, c={CONNECTIONS}, in Portkey's", 1, more=True),
    Goal("times_litellm", f"calls/s, c={CONNECTIONS}, in LiteLLM's", 18, more=True),
    Goal("added_p50_ms", "added latency p50, c=1, ms", 1.2, 0.7),
    Goal("added_p99_ms", "added latency p99, c=1, ms", 3, 1.5),
    Goal("hit_cpu_us", f"cache hit, CPU us per call, c={CONNECTIONS}", 450, 350),
    Goal("hit_p99_ms", f"cache hit, p99, c={CONNECTIONS}, ms", 30),
    Goal("streams_tensorzero", f"streams/s, {STREAMS} at once, in TensorZero's", 2, 3, more=True),
    Goal("added_first_ms", "added time to the first byte of a stream, p50, c=1, ms", 1, 0.5),
    Goal("burst_s", "500 calls at once, upstream waits 2 s, one worker: seconds", 2.6, 2.2),
    Goal("burst_errors", "the same: errors", 0, 0),
    Goal("open_errors", "open streams on two workers: errors", 0, 0),
    Goal("open_kb", "the same: KB a stream", 60),
    Goal("private_mb", "a worker's own memory (private), MB", 60, 40),
    Goal("pss_mb", "a worker's memory, all in (PSS), MB", 130, 100),
    Goal("slope_mb", "growth of it, MB per 100,000 calls", 0.5, 0.5),
    Goal("times_2", "calls/s of 2 workers, in those of 1", 1.8, more=True),
    Goal("times_4", "calls/s of 4 workers, in those of 1", 3.2, 3.7, more=True),
    Goal("agent_cpu_ms", "an agent's body of 125 KB, CPU ms per call", 2.5, 1.5),
    Goal("megabyte_cpu_ms", "a prompt of 1 MB, CPU ms per call beyond moving it", 10, 4),
    Goal("mixed_p99", "small calls' p99 while a tenth of all have 2 MB, in theirs alone", 2),
    Goal("crash_s", "kill -9 of the only worker to the first answer, longest of 5, s", 1, 0.3),
)  # fmt: skip


def of_rows(rows: Sequence[Row]) -> dict[str, float]:
    """The figures of the goals that the comparison holds; without a peer, there is none of it."""
    found = {(row.scenario, row.server, row.connections): row for row in rows}
    chat, one = found["chat", ours.NAME, CONNECTIONS], found["chat", ours.NAME, 1]
    hit = next(row for row in rows if row.scenario == "cache hit")
    stream, first = found["stream", ours.NAME, STREAMS], found["stream", ours.NAME, 1]
    figures = {
        "cpu_us": chat.cpu_us.median,
        "added_p50_ms": one.added_p50_ms.median if one.added_p50_ms else None,
        "added_p99_ms": one.added_p99_ms.median if one.added_p99_ms else None,
        "hit_cpu_us": hit.cpu_us.median,
        "hit_p99_ms": hit.p99_ms.median,
        "added_first_ms": first.added_p50_ms.median if first.added_p50_ms else None,
    }
    for peer in ("mlflow", "portkey", "litellm"):
        other = found.get(("chat", peer, CONNECTIONS))
        figures[f"times_{peer}"] = chat.times(other) if other else None
    other = found.get(("stream", "tensorzero", STREAMS))
    figures["streams_tensorzero"] = stream.times(other) if other else None
    return {name: value for name, value in figures.items() if value is not None}


def table(figures: Mapping[str, float]) -> Table:
    """A line for each goal, also for what was not measured."""
    return ("goal", "measured", "must", "reached", "aim", "reached"), [
        _line(goal, figures.get(goal.name)) for goal in GOALS
    ]


def _line(goal: Goal, value: float | None) -> list[str]:
    sign = ">=" if goal.more else "<="
    bounds = [(goal.must, f"{sign} {goal.must:g}"), (goal.aim, "-" if goal.aim is None else f"{sign} {goal.aim:g}")]
    verdicts = [[text, "-" if value is None else goal.reached(value, bound)] for bound, text in bounds]
    return [goal.text, "not measured" if value is None else number(value), *verdicts[0], *verdicts[1]]


def notes(figures: Mapping[str, float]) -> list[str]:
    """What one should know beside the goals, a line each."""
    told = {
        "memory_calls": "a worker's memory is that after {:,.0f} calls",
        "cpu_us_1": "CPU per call with one worker, sharing cores as with more: {:,.0f} us",
        "cpu_us_2": "with 2 workers: {:,.0f} us",
        "cpu_us_4": "with 4 workers: {:,.0f} us",
        "moving_cpu_ms": "moving a body of 1 MB: {:.2f} CPU ms per call",
        "mixed_alone_ms": "small calls' p99 alone: {:.1f} ms",
        "mixed_ms": "beside large ones: {:.1f} ms",
        "cores": "cores: {:.0f}; upstream and load take part of them, so calls/s of more workers are a lower bound",
    }
    return [text.format(figures[name]) for name, text in told.items() if name in figures]
