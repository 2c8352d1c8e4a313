"""What a call costs as things grow: `python -m bench.growth`.

CPU per call of our gateway's processes as prompts, limits, keys, the ledger and the number of workers grow, and with
the stores of several hosts. The gateways of one thing that grows are up at once and take turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click

from bench import ours, plot, servers
from bench.kernel import machine
from bench.load import drive
from bench.report import Spread, aligned, markdown, number, spread
from bench.scenarios import CONNECTIONS, Scenario, message, spread_over, take
from bench.servers import AVAILABLE, Server

RESULTS = "docs/performance"
_FEW = 8  # connections of calls whose prompts grow
_DAYS = 30  # that rows of a ledger are spread over
_ROWS = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
INSERT INTO usage (
  call_id, attempt, held_ms, settled_ms, request_id, method, path, status, duration_ms, overhead_ms, tenant, key_id,
  user_id, requested_model, names, model, provider, stream, cached, prompt_tokens, cached_tokens, cache_write_tokens,
  completion_tokens, reasoning_tokens, cost_nano, usage_source, usage_suspect, finish_reason, client, client_address
)
SELECT
  printf('%032x', n), 1, :since + n * :span / :rows, :since + n * :span / :rows + 800, printf('%032x', n), 'POST',
  '/v1/chat/completions', 200, 800, 0.7, 'default', :key, 'user-' || n % 1000, 'openai/gpt-4o-mini',
  'openai/gpt-4o-mini', 'gpt-4o-mini', 'openai', 0, 0, 20, 0, 0, 100, 0, 63000, 'provider', 0, 'stop', 'bench',
  '127.0.0.1'
FROM numbers
"""

Kinds = dict[str, Scenario]  # by what is different about each


class Bench:
    """Starts gateways that differ in one thing each, until it is closed.

    Args:
        directory: for their files.
        rows, keys: the most that a ledger gets.
    """

    def __init__(self, directory: Path, rows: int, keys: int) -> None:
        self._stack = ExitStack()
        self._directory = Path(tempfile.mkdtemp(dir=directory))
        self._rows = rows
        self._keys = keys
        self._upstream = self._stack.enter_context(servers.upstream(self._directory / "upstream", servers.share_out()))
        self._upstream.wait()

    def close(self) -> None:
        self._stack.close()

    def _start(
        self, name: object, workers: int = 1, credential: str = "", variables: Mapping[str, str] | None = None
    ) -> Server:
        home, cores = self._directory / f"gateway-{name}", servers.share_out(workers)
        started = ours.gateway(home, cores, self._upstream, workers, credential=credential, **(variables or {}))
        server = self._stack.enter_context(started)
        server.wait()
        return server

    def _filled(self, name: object, keys: int = 1, limits: int = 4, rows: int = 0) -> tuple[Server, list[str]]:
        """A gateway whose ledger holds that much, and its keys."""
        data = self._directory / f"data-{name}"
        database = ours.ledger(data)
        credentials = ours.fill(database, keys, limits)
        database.close()
        if rows:
            fill_rows(data / "ledger.sqlite", rows, credentials[0].split("_")[1])
        return self._start(name, credential=credentials[0], variables={"DATA_DIR": str(data)}), credentials

    def prompt(self) -> Kinds:
        server = self._start("prompt")
        texts = {f"{size:,} B": "All work and no play. " * (size // 22) for size in (1_000, 10_000, 100_000, 1_000_000)}
        return {name: Scenario(name, server, server.chat(**message(text)), _FEW) for name, text in texts.items()}

    def limits(self) -> Kinds:
        return {str(many): _chat(self._filled(many, limits=many)[0]) for many in (1, 4, 10, 25, 50)}

    def keys(self) -> Kinds:
        kinds = {}
        for many in _up_to(self._keys, (1, 1_000, 10_000, 100_000)):
            server, credentials = self._filled(many, keys=many)
            calls = spread_over(server, credentials)
            _use_each(server, calls, many)
            kinds[f"{many:,}"] = Scenario("keys", server, server.chat(), CONNECTIONS, requests=calls)
        return kinds

    def ledger(self) -> Kinds:
        sizes = _up_to(self._rows, (0, 10_000, 100_000, 1_000_000))
        return {f"{rows:,} rows": _chat(self._filled(rows, rows=rows)[0]) for rows in sizes}

    def workers(self) -> Kinds:
        counts = [workers for workers in (1, 2, 4) if workers <= len(AVAILABLE)]
        return {str(workers): _chat(self._start(workers, workers)) for workers in counts}

    def stores(self) -> Kinds:
        from tests.fakes.postgres_server import PostgresServer  # development dependencies are there for these alone
        from tests.fakes.redis_server import RedisServer

        redis = self._stack.enter_context(RedisServer(self._directory))
        postgres = self._stack.enter_context(PostgresServer())
        postgres.run("CREATE DATABASE beside_redis")
        kinds: dict[str, dict[str, str]] = {
            "embedded": {},
            "Redis": {"REDIS_URL": redis.url},
            "PostgreSQL": {"DATABASE_URL": postgres.url()},
            "both": {"REDIS_URL": redis.url, "DATABASE_URL": postgres.url("beside_redis")},
        }
        return {name: _chat(self._start(name, variables=variables)) for name, variables in kinds.items()}


PARTS: dict[str, Callable[[Bench], Kinds]] = {
    "prompt": Bench.prompt,
    "limits on each call": Bench.limits,
    "keys": Bench.keys,
    "ledger": Bench.ledger,
    "workers": Bench.workers,
    "stores": Bench.stores,
}


def _use_each(server: Server, calls: Iterator[bytes], keys: int) -> None:
    """Call with each key once before anything is measured, a second at a time. Raises ClickException if one fails."""
    called = 0
    while called < keys:
        turn = drive(server.url, calls, CONNECTIONS, 1)
        called += len(turn.latencies)
        if turn.errors:
            raise click.ClickException(f"first calls of {keys:,} keys: {dict(turn.errors)}")


def _up_to(most: int, sizes: Sequence[int]) -> list[int]:
    return [*(size for size in sizes if size < most), most]


def _chat(server: Server) -> Scenario:
    return Scenario("chat", server, server.chat(**message()), CONNECTIONS)


def fill_rows(file: Path, rows: int, key_id: str) -> None:
    """Add so many rows of this key's to a ledger that nobody has open."""
    span = _DAYS * 86_400_000
    since = time.time_ns() // 10**6 - span
    with contextlib.closing(sqlite3.connect(file)) as connection:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):  # if this breaks off, the file is thrown away
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(_ROWS, {"rows": rows, "span": span, "since": since, "key": key_id})
        connection.commit()
        connection.execute("PRAGMA journal_mode=WAL")


def measure(kinds: Kinds, rounds: int, seconds: float) -> dict[str, Spread]:
    """CPU microseconds of a call of each kind."""
    for scenario in kinds.values():
        scenario.warm_up(seconds)
    turns = [{name: take(each, seconds) for name, each in kinds.items()} for _ in range(rounds)]
    for each in turns:
        for name, turn in each.items():
            if turn.figures.errors:
                raise click.ClickException(f"{name}: {turn.figures.errors}")
    return {name: spread([each[name].cpu_us for each in turns]) for name in kinds}


def _lines(curves: dict[str, dict[str, Spread]]) -> Iterator[list[str]]:
    for what, points in curves.items():
        first = next(iter(points.values())).median
        for name, found in points.items():
            least_most = f"{number(found.least)}-{number(found.most)}"
            yield [what, name, number(found.median), least_most, number(found.median / first)]


@click.command()
@click.option("--rounds", default=3, type=click.IntRange(1), show_default=True, help="Each kind has one turn a round.")
@click.option("--seconds", default=5.0, type=click.FloatRange(0.1), show_default=True, help="Of one turn.")
@click.option("--rows", default=1_000_000, type=click.IntRange(1), show_default=True, help="Of the largest ledger.")
@click.option("--keys", default=100_000, type=click.IntRange(1), show_default=True, help="At most.")
@click.option("--only", type=click.Choice(list(PARTS)), multiple=True, help="What grows; may be repeated.")
@click.option("--save", is_flag=False, flag_value=RESULTS, help=f"Write to this folder, or to {RESULTS}.")
def main(rounds: int, seconds: float, rows: int, keys: int, only: tuple[str, ...], save: str | None) -> None:
    """Measure what a call costs as things grow."""
    os.sched_setaffinity(0, servers.share_out().load)
    about = f"{machine()}\n{rounds} rounds of {seconds:g} s; {servers.share_out()}"
    curves: dict[str, dict[str, Spread]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as directory:
        for what in only or PARTS:
            click.echo(f"measuring: {what}", err=True)
            with contextlib.closing(Bench(Path(directory), rows, keys)) as bench:
                curves[what] = measure(PARTS[what](bench), rounds, seconds)
    headings = ["what grows", "to", "CPU us/call", "least-most", "times the first"]
    lines = list(_lines(curves))
    click.echo(f"{about}\n\n{aligned(headings, lines)}")
    if save:
        folder = Path(save)
        folder.mkdir(parents=True, exist_ok=True)
        points = {what: {name: each._asdict() for name, each in found.items()} for what, found in curves.items()}
        (folder / "growth.json").write_text(json.dumps({"about": about, "curves": points}, indent=2) + "\n")
        (folder / "growth.md").write_text(f"{about}\n\n{markdown(headings, lines)}\n")
        plot.growth(
            {what: {name: each.median for name, each in found.items()} for what, found in curves.items()},
            folder / "growth.png",
        )


if __name__ == "__main__":
    main()
