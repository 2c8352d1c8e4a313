"""Through the service as operators run it: answers that are cut, that are none, and that have no end. What each of them
does in detail the test_upstream_… files look at, without a server."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import KEY
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.ledgers import rows
from tests.fakes.upstream import Script, Upstream
from tests.faults.hostile import CALLS, CAP, PATHS, STREAM, WHOLE, Told, good
from tests.faults.oracle import holds
from tests.faults.rig import LONG, SEED, wait_for
from tests.faults.test_upstream_floods import FLOODS, MOST
from tests.faults.test_upstream_lies import WRONG_STREAMS, WRONG_WHOLES
from tests.service.conftest import Service

CONFIG = """
default_model: m
breaker: {{failures: 1000000}}
providers: {{up: {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", timeouts: {{total: {total}}}}}}}
models: {{m: {{targets: [{{provider: up, model: gpt-4o}}], price: {{input: 0.001, output: 0.002}}}}}}
"""
KINDS = ("gevent", "gthread")
OFFSETS = 20
AT_ONCE = 8
Start = Callable[..., Service]
Figures = Callable[..., None]


def ask(service: Service, dialect: str, stream: bool) -> Told:
    asked: dict[str, Any] = {"max_tokens": CAP, "stream": stream}
    asked |= (
        {"prompt": "Hi", "user_id": "u"} if dialect == "ours" else {"messages": [{"role": "user", "content": "Hi"}]}
    )
    answer = requests.post(service.url + PATHS[dialect], json=asked, headers={"x-api-key": KEY}, timeout=60)
    return Told(answer.status_code, dict(answer.headers), answer.content)


@contextmanager
def as_it_was(service: Service) -> Iterator[Callable[[], list[tuple[str, int, str | None]]]]:
    """Looks, once all is settled, at each attempt's call, number and error: every one has one row, and no worker has
    died or said a word of it."""
    workers, place = service.workers(), service.directory / "data"

    def booked() -> list[tuple[str, int, str | None]]:
        wait_for(lambda: not holds(place), 10)
        return rows(place, "SELECT call_id, attempt, error_code FROM usage")

    yield booked
    found = sorted((call, attempt) for call, attempt, _ in booked())
    most = Counter(call for call, _ in found)
    assert found == sorted((call, number + 1) for call, count in most.items() for number in range(count))
    assert service.workers() == workers
    assert service.errors.read_text() == ""


@pytest.mark.shows("F7", "F10", "P12")
@pytest.mark.parametrize("worker", KINDS if LONG else KINDS[:1])
def test_an_answer_that_is_cut_or_is_none_is_an_error_of_the_running_service_too(
    worker: str, start: Start, upstream: Upstream, figures: Figures
) -> None:
    chance, wrong, asked = random.Random(SEED), [], 0
    upstream.script = good
    with ChaosProxy(upstream.port) as proxy:
        service = start(worker, CONFIG.format(port=proxy.port, total=10), MODEL_NAME="")
        with as_it_was(service) as booked:
            for dialect, stream in CALLS:
                end = STREAM.index(b"[DONE]") if stream else len(WHOLE)
                for cut in chance.sample(range(end), OFFSETS):
                    proxy.set(cut=cut, reset=chance.random() < 0.5)
                    told = ask(service, dialect, stream)
                    wrong += [] if told.broke() else [(cut, told)]
                proxy.set()
                kinds = WRONG_STREAMS if stream else WRONG_WHOLES
                for kind, raw in kinds.items():
                    upstream.script = lambda connection, request, raw=raw: bool(connection.sendall(raw))
                    told = ask(service, dialect, stream)
                    wrong += [] if told.broke() else [(kind, told)]
                    upstream.script = good
                    assert ask(service, dialect, stream).done, kind
                asked += OFFSETS + len(kinds)
            figures(
                f"the service: {len(wrong)} of {asked} answers that were cut or none got other than an error", asked
            )
            assert wrong == []
            attempts = booked()
            calls = len({call for call, _, _ in attempts})
            assert calls == asked + sum(error is None for _, _, error in attempts)


def kilobytes(service: Service, name: str) -> int:
    """Memory of the only worker."""
    (pid,) = service.workers()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


@pytest.mark.shows("F11")
@pytest.mark.parametrize(("stream", "script"), FLOODS if LONG else FLOODS[-2:])
def test_several_answers_without_an_end_at_once_take_a_bounded_share_of_memory_each(
    stream: bool, script: Script, start: Start, upstream: Upstream, figures: Figures, request: pytest.FixtureRequest
) -> None:
    upstream.script = script
    service = start(yaml=CONFIG.format(port=upstream.port, total=20), MODEL_NAME="", WEB_CONCURRENCY="1")
    with as_it_was(service) as booked, ThreadPoolExecutor(AT_ONCE) as clients:
        ask(service, "openai", stream)  # with all that one such call needs
        (pid,) = service.workers()
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the most that it has had is what it has
        before = kilobytes(service, "VmRSS")
        told = list(clients.map(lambda _: ask(service, "openai", stream), range(AT_ONCE)))
        growth = (kilobytes(service, "VmHWM") - before) * 1024
        unfit = [row for row in booked() if row[2] not in ("upstream_error", "upstream_timeout")]
    figures(f"the service, {AT_ONCE} at once, {request.node.callspec.id}: {growth / 2**20:.0f} MB more", AT_ONCE)
    assert [one for one in told if not (one.broke() or one.broke("upstream_timeout"))] == []
    assert unfit == []
    assert growth < AT_ONCE * MOST
