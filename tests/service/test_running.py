"""The running service: it answers, logs, starts and stops as it promises, on every kind of worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.conftest import KEY
from tests.fakes.upstream import Upstream, answers
from tests.service.conftest import ASK, Service

Start = Callable[..., Service]


def test_it_answers_through_a_provider_and_stops_cleanly(worker: str, start: Start, upstream: Upstream) -> None:
    service = start(worker, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="sk-upstream-1", MODEL_NAME="gpt-4o-mini")
    answer = service.ask()
    assert answer.json()["response"] == "Hello from upstream"
    assert b'"estimated_cost_usd":0.000063,' in answer.content
    assert service.stop() == 0


def test_everything_it_writes_is_one_json_object_a_line_without_a_secret(
    worker: str, start: Start, upstream: Upstream
) -> None:
    upstream.script = answers({"error": {"message": "your key sk-upstream-1 is wrong"}}, 401)
    service = start(worker, OPENAI_BASE_URL=upstream.base_url, OPENAI_API_KEY="sk-upstream-1", MODEL_NAME="gpt-4o")
    service.ask()
    service.ask({"prompt": "x"})
    requests.get(
        f"{service.url}/nope?key={KEY}\n%0a{{", headers={"user-agent": f'"}}{KEY}', "x-api-key": "no"}, timeout=5
    )
    service.stop()
    lines = service.lines()
    assert {"Listening at", "Booting worker"} <= {line["message"].split(":")[0].split(" with")[0] for line in lines}
    requests_ = [line for line in lines if line["logger"] == "gateway.request"]
    assert [line["status"] for line in requests_ if line["path"] != "/health"] == [502, 422, 404]
    assert requests_[-1]["client"] == '"}[secret]'
    written = service.output.read_text() + service.errors.read_text()
    assert KEY not in written
    assert "sk-upstream-1" not in written
    assert service.errors.read_text() == ""


def test_missing_tokenizer_files_are_told_once_and_in_the_log(start: Start, tmp_path: Path) -> None:
    service = start(TIKTOKEN_CACHE_DIR=str(tmp_path))
    service.stop()
    told = [line["message"] for line in service.lines() if line["message"].startswith("No tokenizer files")]
    assert len(told) == 1
    assert service.errors.read_text() == ""


@pytest.mark.parametrize("delay", [0, 0.1, 0.2, 0.4])
def test_a_stop_while_workers_start_does_not_wait_for_them(delay: float, start: Start) -> None:
    service = start(wait=False, WEB_CONCURRENCY="4", GRACEFUL_TIMEOUT="60")
    service.wait_for(lambda: '"Listening at' in service.output.read_text())
    time.sleep(delay)
    assert service.stop() == 0


def test_a_log_file_gets_what_standard_output_would(start: Start, tmp_path: Path) -> None:
    service = start(LOG_FILE=str(tmp_path / "gateway.log"))
    service.ask()
    service.stop()
    assert service.output.read_text() == ""
    assert '"path":"/inference"' in (tmp_path / "gateway.log").read_text()


def test_calls_that_wait_for_a_provider_do_not_wait_for_each_other(
    worker: str, start: Start, upstream: Upstream
) -> None:
    fast = upstream.script

    def slow(connection: object, request: object) -> bool:
        time.sleep(0.5)
        return fast(connection, request)  # type: ignore[arg-type]

    upstream.script = slow
    service = start(worker, OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o", WEB_CONCURRENCY="1")
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(service.ask().status_code)) for _ in range(40)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 40
    assert time.monotonic() - started < 10, "one after the other they would take 20 s"


def test_a_total_deadline_ends_a_call_to_a_dripping_provider(worker: str, start: Start, upstream: Upstream) -> None:
    def drip(connection: object, request: object) -> bool:
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n" + b"x" * 99:
            connection.sendall(bytes([byte]))  # type: ignore[attr-defined]
            time.sleep(0.1)
        return False

    upstream.script = drip
    yaml = f"providers: {{p: {{kind: openai, base_url: '{upstream.base_url}', timeouts: {{total: 0.6}}}}}}"
    service = start(worker, yaml, MODEL_NAME="p/m")
    started = time.monotonic()
    assert service.ask().status_code == 504
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("variables", "yaml", "line"),
    [
        ({"API_KEY": ""}, "", "API_KEY: is not set. It holds the key(s) that clients must show, comma separated"),
        ({"PORT": "http"}, "", "PORT: must be a whole number"),
        ({"MODEL_NAME": "openai/x"}, "", "MODEL_NAME: there is no model 'openai/x'. It may be a name under 'models:', "
         "'provider/model' (providers: offline), or a model that a provider's price list knows"),
        ({}, "models: [", "gateway.yaml: line 1, column 10: not valid YAML: expected the node content, but found '<stream end>'"),
        ({}, "modles: {}", "gateway.yaml: modles: unknown; known here: default_model, providers, models, cache, "
         "ledger, help_url, retry, breaker, overload"),
    ],
)  # fmt: skip
def test_a_mistake_stops_the_start_with_one_line(variables: dict[str, str], yaml: str, line: str, start: Start) -> None:
    service = start(yaml=yaml, wait=False, **variables)
    assert service.process.wait(20) == 1
    assert service.errors.read_text() == line + "\n"
    assert service.output.read_text() == ""


def test_a_prompt_made_to_break_the_tokenizer_is_answered(worker: str, start: Start) -> None:
    service = start(worker)
    pids = service.workers()
    answer = service.ask({"prompt": f"x{' ' * 1_000_000}x", "user_id": "u"})
    assert (answer.status_code, len(answer.json()["response"])) == (200, 1_000_002)
    assert service.workers() == pids


def test_a_model_name_of_a_megabyte_makes_no_line_of_a_megabyte(start: Start) -> None:
    service = start()
    assert service.ask({"prompt": "x", "user_id": "u", "model": "中" * 300_000}).status_code == 404
    service.stop()
    assert max(len(line) for line in service.output.read_text().splitlines()) < 4000


@pytest.mark.parametrize("query", ["", "?name[]=a", "?name[]="])
@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text;version=ÿ;x"])
def test_no_query_or_header_breaks_the_metrics(query: str, accept: str, start: Start) -> None:
    service = start(WEB_CONCURRENCY="1")
    answer = requests.get(f"{service.url}/metrics{query}", headers={"accept": accept.encode("latin-1")}, timeout=5)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "llm_gateway_build_info" in answer.text


def test_all_workers_add_up_in_the_metrics(start: Start) -> None:
    service = start(WEB_CONCURRENCY="3")
    for _ in range(30):
        with requests.Session() as session:  # a connection each, so that every worker gets some
            session.post(f"{service.url}/inference", json=ASK, headers={"x-api-key": KEY}, timeout=5)
    metrics = requests.get(f"{service.url}/metrics", timeout=5).text
    assert 'flask_http_request_total{method="POST",status="200"} 30.0' in metrics
