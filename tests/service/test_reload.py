"""SIGHUP reloads the file and .env; a broken one changes nothing, not even for workers that start later."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.service.conftest import ASK, Service

Start = Callable[..., Service]
Figures = Callable[..., None]


def reload(service: Service) -> None:
    """HUP, then wait until every worker is a new one."""
    old = service.workers()
    service.signal(signal.SIGHUP)
    service.wait_for(lambda: not service.workers() & old)
    service.wait_until_ready()


def model(service: Service) -> str:
    name: str = service.ask().json()["model"]
    return name


def degraded(service: Service) -> Any:
    return requests.get(f"{service.url}/health/ready", timeout=5).json()["checks"]["configuration"]["state"]


@pytest.mark.shows("F19")
def test_a_new_file_is_in_force_after_hup_and_a_broken_one_is_not(worker: str, start: Start, figures: Figures) -> None:
    file = "models: {m: {targets: [{provider: offline, model: 'echo?tokens=%s'}]}}"
    service = start(worker, file % 5, MODEL_NAME="m")
    assert model(service) == "offline/echo?tokens=5"

    (service.directory / "gateway.yaml").write_text(file % 6)
    reload(service)
    assert model(service) == "offline/echo?tokens=6"

    assert [line["message"] for line in service.lines()].count("configuration reloaded") == 1
    (service.directory / "gateway.yaml").write_text("models: [")
    reload(service)
    assert model(service) == "offline/echo?tokens=6"
    assert degraded(service) == "degraded"
    told = [line["message"] for line in service.lines() if line["level"] == "ERROR"]
    assert len(told) == 1
    assert told[0].startswith("not reloaded, the last good configuration stays in force: gateway.yaml: line 1")
    assert (
        'llm_gateway_degraded_total{dependency="configuration"} 1.0'
        in requests.get(f"{service.url}/metrics", timeout=5).text
    )

    killed = service.workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    service.wait_for(lambda: not service.workers() & killed)
    service.wait_until_ready()
    assert model(service) == "offline/echo?tokens=6", "a worker that starts later never reads the broken file"

    (service.directory / "gateway.yaml").write_text(file % 7)
    reload(service)
    assert (model(service), degraded(service)) == ("offline/echo?tokens=7", "ok")
    figures("0 of 1 broken files came into force, or kept the next good one from it", 1)


# Each of these once ended the service: in the file's parser, in what only workers built, in Gunicorn's logging.
KILLERS = {
    "a price too fine": "models: {m: {targets: [{provider: offline, model: echo}], price: {input: 1e-19, output: 1}}}",
    "a header with a space": "providers: {p: {kind: ollama, headers: {x-team: ' platform'}}}",
    "an address of nobody": "providers: {p: {kind: ollama, base_url: 'http://a%zz/v1'}}",
    "a label too long": f"providers: {{p: {{kind: ollama, base_url: 'http://{'x' * 70}.com/v1'}}}}",
    "no date": "default_model: 2024-13-45",
    "an alias of itself": "a: &a [*a]",
    "no integer": "a: !!int abc",
    "nested too deep": "a: " + "[" * 3000,
    "no such built-in model": "models: {m: {targets: [{provider: offline, model: nope}]}}",
}


@pytest.mark.shows("F19")
def test_no_mistake_in_the_file_ends_a_running_service(start: Start, figures: Figures) -> None:
    service = start()
    for name, yaml in KILLERS.items():
        (service.directory / "gateway.yaml").write_text(yaml)
        reload(service)
        assert service.ask().status_code == 200, name
        assert degraded(service) == "degraded", name
    (service.directory / "gateway.yaml").unlink()
    (service.directory / ".env").write_text("LOG_FILE=/nowhere/log\n")
    reload(service)
    assert service.ask().status_code == 200
    told = [line["message"] for line in service.lines() if line["level"] == "ERROR"]
    assert len(told) == len(KILLERS) + 1
    assert told[-1].endswith("LOG_FILE: cannot be written: No such file or directory")
    assert service.errors.read_text() == "", "no stack trace"
    figures(f"0 of {len(told)} mistakes in gateway.yaml or .env ended a service, or were not told", len(told))


def test_workers_start_even_if_somebody_cleaned_up_the_metrics(start: Start) -> None:
    service = start()
    shutil.rmtree(service.metrics_directory())
    old = service.workers()
    os.kill(min(old), signal.SIGKILL)
    service.wait_for(lambda: min(old) not in service.workers())
    service.wait_until_ready()
    assert requests.get(f"{service.url}/metrics", timeout=5).status_code == 200


def test_a_key_rotated_in_dotenv_is_in_force_after_hup(start: Start) -> None:
    service = start(dotenv="API_KEY=old-key-0123456789\n", API_KEY="")

    def statuses() -> list[int]:
        return [service.ask(**{"x-api-key": f"{age}-key-0123456789"}).status_code for age in ("old", "new")]

    assert statuses() == [200, 401]
    (service.directory / ".env").write_text("API_KEY=new-key-0123456789,old-key-0123456789\n")
    reload(service)
    assert statuses() == [200, 200]
    (service.directory / ".env").write_text("API_KEY=new-key-0123456789\n")
    reload(service)
    assert statuses() == [401, 200]


def test_the_address_and_the_number_of_workers_stay(start: Start) -> None:
    service = start(WEB_CONCURRENCY="", dotenv="WEB_CONCURRENCY=2\n")
    (service.directory / ".env").write_text("WEB_CONCURRENCY=5\nPORT=1\n")
    reload(service)
    assert len(service.workers()) == 2
    assert requests.post(f"{service.url}/inference", json=ASK, timeout=5).status_code == 401
