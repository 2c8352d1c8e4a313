"""What the metrics count, and how few series they have whatever clients send."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import KEY
from tests.fakes.upstream import Upstream, answers

MakeApp = Callable[..., Flask]


def ask(client: FlaskClient, key: str = KEY, **fields: Any) -> int:
    body = {"prompt": "Hello", "user_id": "u", **fields}
    with client.post("/inference", json=body, headers={"x-api-key": key}) as answer:
        return answer.status_code


def series(client: FlaskClient) -> dict[str, float]:
    """Every series but those of durations, which differ by themselves."""
    lines = [line for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_requests_tokens_and_cost_are_counted_exactly(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o", CACHE_TTL="60").test_client()
    for number in range(3):
        ask(client, prompt=str(number))
    ask(client, prompt="0")
    counted = series(client)
    caller = 'model="gpt-4o",provider="openai",tenant="default"'
    requests = 'llm_gateway_requests_total{endpoint="/inference",model="gpt-4o",outcome="success",provider="openai",tenant="default"}'
    assert counted[requests] == 4
    assert counted['llm_gateway_upstream_requests_total{model="gpt-4o",outcome="success",provider="openai"}'] == 3
    assert counted[f'llm_gateway_tokens_total{{kind="prompt",{caller}}}'] == 60, "the hit bought none"
    assert counted[f'llm_gateway_tokens_total{{kind="completion",{caller}}}'] == 300
    assert counted[f"llm_gateway_cost_usd_total{{{caller}}}"] == 3 * 0.00105
    assert counted['llm_gateway_cache_requests_total{result="hit"}'] == 1
    assert counted['llm_gateway_cache_requests_total{result="miss"}'] == 3
    assert counted["llm_gateway_overhead_seconds_count"] == 4
    assert counted['llm_gateway_request_duration_seconds_count{endpoint="/inference"}'] == 4
    assert counted['flask_http_request_duration_seconds_count{method="POST",status="200",url_rule="/inference"}'] == 4
    assert counted["llm_gateway_inflight_requests"] == 1, "the scrape itself"


def test_a_response_that_is_closed_twice_has_one_line_and_counts_once(
    make_app: MakeApp, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.request")
    client = make_app(OPENAI_BASE_URL=upstream.base_url).test_client()
    response = client.post("/inference", json={"prompt": "Hello", "user_id": "alice"}, headers={"x-api-key": KEY})
    for _ in range(2):
        response.close()
    assert len(caplog.records) == 1
    assert series(client)["llm_gateway_inflight_requests"] == 1, "the scrape itself"


def test_failures_are_counted_by_their_code(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(
        "retry: {attempts: 1}\nproviders: {offline: {kind: offline}}\nmodels: {m: {targets: [{provider: openai, model: gpt-4o}], fallback: [offline/echo]}}",
        OPENAI_BASE_URL=upstream.base_url,
        MODEL_NAME="m",
    ).test_client()
    upstream.script = answers({"error": {}}, 500)
    assert ask(client) == 200, "the fallback answers"
    assert ask(client, key="wrong") == 401
    assert client.post("/inference", json={}).status_code == 401
    assert ask(client, model="no/such") == 404
    assert ask(client, prompt="") == 422
    counted = series(client)

    def requests(outcome: str, model: str, provider: str = "none", tenant: str = "default") -> float:
        labels = f'endpoint="/inference",model="{model}",outcome="{outcome}",provider="{provider}",tenant="{tenant}"'
        return counted[f"llm_gateway_requests_total{{{labels}}}"]

    assert requests("success", "echo", "offline") == 1
    assert requests("invalid_api_key", "none", tenant="none") == 2
    assert requests("model_not_found", "other") == 1
    assert requests("invalid_value", "none") == 1
    assert counted['llm_gateway_auth_failures_total{reason="invalid"}'] == 1
    assert counted['llm_gateway_auth_failures_total{reason="missing"}'] == 1
    assert counted["llm_gateway_fallbacks_total"] == 1
    assert (
        counted['llm_gateway_upstream_requests_total{model="gpt-4o",outcome="upstream_error",provider="openai"}'] == 1
    )


def test_nothing_that_a_client_sends_adds_a_series(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client()

    def be_hostile(number: int) -> None:
        ask(client, model=f"openai/own-{number}", user_id=f"user-{number}", prompt=f"prompt {number}")
        ask(client, model=f"openai/gpt-4o-2024-08-{number}")
        ask(client, model=f"offline/echo?tokens={number + 1}")
        ask(client, model=f"no-such-{number}")
        ask(client, key=f"key-{number}")
        client.get(f"/path-{number}", headers={"x-request-id": f"id-{number}", "user-agent": f"agent-{number}"})
        client.get(f"/docs/{number}")
        client.open("/inference", method=f"METHOD{number}")
        upstream.script = answers({"error": {"code": f"code-{number}"}}, 400 + number % 5)

    client.get("/metrics")
    for number in range(10):
        be_hostile(number)
    names = set(series(client))
    for number in range(10, 200):
        be_hostile(number)
    assert set(series(client)) == names
    assert not re.search(r"\d{3}-|own-|user-|key-\d|path-", "".join(names))


def test_a_dated_name_of_a_model_is_counted_under_the_catalogues(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client()
    ask(client, model="openai/gpt-4o-mini-2024-07-18")
    assert any('model="gpt-4o-mini",outcome="success"' in name for name in series(client))
