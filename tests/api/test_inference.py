"""POST /inference as a client sees it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import KEY
from tests.fakes.upstream import Upstream, answers, completion, sends

MakeApp = Callable[..., Flask]
ASK = {"prompt": "Hello", "user_id": "u-1"}


def post(client: FlaskClient, body: Any = None, **headers: str) -> TestResponse:
    return client.post("/inference", json=ASK if body is None else body, headers={"x-api-key": KEY, **headers})


def error(response: TestResponse) -> dict[str, Any]:
    assert response.content_type == "application/json"
    assert response.json is not None
    assert response.json.keys() == {"error"}
    found: dict[str, Any] = response.json["error"]
    assert found.keys() == {"message", "type", "param", "code"}
    return found


def test_an_answer_has_the_contracts_fields_in_their_order(client: FlaskClient) -> None:
    response = post(client)
    assert response.status_code == 200
    pairs = json.loads(response.data, object_pairs_hook=list)
    assert [name for name, _ in pairs] == [
        "response", "prompt_tokens", "completion_tokens", "estimated_cost_usd", "duration_ms", "model", "cached",
        "usage_source", "request_id",
    ]  # fmt: skip
    answer = dict(pairs)
    assert (answer["response"], answer["model"], answer["cached"]) == ("Hello", "offline/echo", False)
    assert (answer["prompt_tokens"], answer["completion_tokens"], answer["estimated_cost_usd"]) == (7, 1, 0)
    assert answer["request_id"] == response.headers["X-Request-ID"]


def test_an_answer_carries_the_gateways_headers(client: FlaskClient) -> None:
    headers = post(client).headers
    assert headers["x-gateway-model"] == "offline/echo"
    assert headers["x-gateway-attempts"] == "1"
    assert headers["x-gateway-cost-usd"] == "0"
    assert float(headers["x-gateway-overhead-ms"]) >= 0
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"] == "application/json"


def test_a_real_models_answer_is_priced_to_the_nano_dollar(make_app: MakeApp, upstream: Upstream) -> None:
    usage = {"prompt_tokens": 21, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 5}}
    upstream.script = answers(completion("Hi", usage=usage), headers={"x-request-id": "up-7", "set-cookie": "a=b"})
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o-mini").test_client()
    response = post(client, {**ASK, "system": "Be brief.", "max_tokens": 9, "temperature": 1})
    # 16 x 0.15 + 5 x 0.075 + 1 x 0.60 USD per million
    assert b'"estimated_cost_usd":0.000003375,' in response.data
    assert response.headers["x-gateway-cost-usd"] == "0.000003375"
    assert response.headers["x-gateway-upstream-request-id"] == "up-7"
    assert "set-cookie" not in response.headers
    assert upstream.received[0].json["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_model_without_a_price_costs_null_and_is_counted_and_told_once(
    make_app: MakeApp, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="openai/our-own").test_client()
    with caplog.at_level(logging.WARNING, "gateway.services.inference"):
        answers_ = [post(client).json for _ in range(3)]
    assert [answer["estimated_cost_usd"] for answer in answers_ if answer] == [None] * 3
    assert "x-gateway-cost-usd" not in post(client).headers
    assert [record.getMessage() for record in caplog.records] == [
        "openai/our-own has no price: its cost is not known. Give it one under models: … price:"
    ]
    assert b'llm_gateway_unpriced_requests_total{model="our-own"} 4.0' in client.get("/metrics").data


def test_an_unpriced_model_that_nobody_configured_is_counted_as_other(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client()
    for number in range(5):
        post(client, {**ASK, "model": f"openai/made-up-{number}"})
    metrics = client.get("/metrics").get_data(as_text=True)
    assert [line for line in metrics.splitlines() if line.startswith("llm_gateway_unpriced_requests_total")] == [
        'llm_gateway_unpriced_requests_total{model="other"} 5.0'
    ]


def test_the_operators_price_wins_over_the_catalogue(make_app: MakeApp, upstream: Upstream) -> None:
    app = make_app(
        "models: {ours: {targets: [{provider: openai, model: gpt-4o}], price: {input: 1, output: 2}}}",
        OPENAI_BASE_URL=upstream.base_url,
        MODEL_NAME="ours",
    )
    assert b'"estimated_cost_usd":0.00022,' in post(app.test_client()).data


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -5, "completion_tokens": 10**18}])
def test_without_credible_usage_the_tokens_are_counted(usage: Any, make_app: MakeApp, upstream: Upstream) -> None:
    upstream.script = answers(completion("Hello world", usage=usage))
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o-mini").test_client()
    answer = post(client).json
    assert answer is not None
    assert (answer["prompt_tokens"], answer["completion_tokens"], answer["usage_source"]) == (7, 2, "counted")
    assert answer["estimated_cost_usd"] == pytest.approx((7 * 150 + 2 * 600) / 1e9)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"prompt": None}, "prompt", "invalid_type"),
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": " \n"}, "prompt", "invalid_value"),
        ({"prompt": 7}, "prompt", "invalid_type"),
        ({"prompt": ["x"]}, "prompt", "invalid_type"),
        ({"user_id": ""}, "user_id", "invalid_value"),
        ({"user_id": "x" * 257}, "user_id", "invalid_value"),
        ({"user_id": 7}, "user_id", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"model": 1}, "model", "invalid_type"),
        ({"model": []}, "model", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"max_tokens": -1}, "max_tokens", "invalid_value"),
        ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
        ({"max_tokens": "10"}, "max_tokens", "invalid_type"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"max_tokens": 2**62}, "max_tokens", "invalid_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": -0.1}, "temperature", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"temperature": False}, "temperature", "invalid_type"),
        ({"stream": "true"}, "stream", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"system": 1}, "system", "invalid_type"),
        ({"api_base": "http://evil"}, "api_base", "unknown_parameter"),
        ({"extra_body": {}}, "extra_body", "unknown_parameter"),
        ({"x" * 5000: 1}, "x" * 64, "unknown_parameter"),
    ],
)
def test_a_wrong_field_gets_422_with_its_name(
    change: dict[str, Any], param: str, code: str, client: FlaskClient
) -> None:
    response = post(client, {**ASK, **change})
    found = error(response)
    assert (response.status_code, found["param"], found["code"]) == (422, param, code)
    assert len(found["message"]) < 300


@pytest.mark.parametrize("missing", ["prompt", "user_id"])
def test_a_missing_field_gets_422_with_its_name(missing: str, client: FlaskClient) -> None:
    response = post(client, {name: value for name, value in ASK.items() if name != missing})
    assert (response.status_code, error(response)["code"]) == (422, "missing_required_parameter")
    assert error(response)["param"] == missing


def test_an_unknown_model_gets_404(client: FlaskClient) -> None:
    response = post(client, {**ASK, "model": "nope/x"})
    assert (response.status_code, error(response)["code"]) == (404, "model_not_found")


def test_the_providers_own_refusal_comes_back_byte_for_byte(make_app: MakeApp, upstream: Upstream) -> None:
    body = b'{"error": {"message":"too  long","type":"invalid_request_error","param":null,"code":"context_length_exceeded"}}'
    upstream.script = answers(body, 400)
    response = post(make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client())
    assert (response.status_code, response.data) == (400, body)


def test_a_provider_that_fails_gets_502_and_one_that_is_silent_504(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client()
    upstream.script = answers({}, 429, {"retry-after": "3"})
    response = post(client)
    assert (response.status_code, error(response)["code"], response.headers["Retry-After"]) == (
        502,
        "upstream_error",
        "3",
    )
    upstream.script = lambda connection, request: bool(time.sleep(2))
    silent = post(client, **{"x-gateway-timeout-ms": "200"})
    assert (silent.status_code, error(silent)["code"]) == (504, "upstream_timeout")


def test_a_clients_own_deadline_says_nothing_about_the_provider(client: FlaskClient) -> None:
    slow = {**ASK, "model": "offline/echo?latency_ms=5000"}
    assert post(client, slow, **{"x-gateway-timeout-ms": "20"}).status_code == 504
    ready = client.get("/health/ready").json
    assert ready is not None
    assert ready["status"] == "ready"


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "abc", "1e3", "9" * 10])
def test_a_timeout_header_that_is_no_number_is_refused(value: str, client: FlaskClient) -> None:
    response = post(client, **{"x-gateway-timeout-ms": value})
    assert (response.status_code, error(response)["param"]) == (400, "x-gateway-timeout-ms")


def test_a_failing_target_is_followed_by_the_next_and_then_by_the_fallback(
    make_app: MakeApp, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(
        f"""
providers:
  down: {{kind: openai, base_url: 'http://127.0.0.1:1/v1'}}
  up: {{kind: openai, base_url: '{upstream.base_url}'}}
models:
  first: {{targets: [{{provider: down, model: a}}, {{provider: down, model: b, priority: 2}}], fallback: [second]}}
  second: {{targets: [{{provider: up, model: c}}], price: {{input: 1, output: 1}}}}
""",
        MODEL_NAME="first",
    )
    with caplog.at_level(logging.WARNING, "gateway.attempt"):
        response = post(app.test_client(), **{"x-request-id": "r-1"})
    assert (response.status_code, response.headers["x-gateway-model"]) == (200, "up/c")
    told = [(line.__dict__["request_id"], line.__dict__["attempt"], line.__dict__["detail"]) for line in caplog.records]
    refused = "http://127.0.0.1:1/v1/chat/completions: [Errno 111] Connection refused"
    assert told == [("r-1", number, refused) for number in (1, 2, 3, 4)], "one is left for each of the others"
    assert response.headers["x-gateway-attempts"] == "5"
    assert b'"estimated_cost_usd":0.00012,' in response.data, "at the price of the model that answered"
    assert upstream.received[0].headers["x-gateway-attempt"] == "5"
    ready = app.test_client().get("/health/ready").json
    assert ready is not None
    assert (ready["status"], ready["checks"]["provider:down"], ready["checks"]["provider:up"]) == (
        "degraded", {"state": "degraded"}, {"state": "ok"},
    )  # fmt: skip


def test_what_another_target_cannot_mend_is_not_tried_there(make_app: MakeApp, upstream: Upstream) -> None:
    app = make_app(
        f"""
providers: {{up: {{kind: openai, base_url: '{upstream.base_url}'}}}}
models: {{m: {{targets: [{{provider: up, model: a}}, {{provider: up, model: b}}]}}}}
""",
        MODEL_NAME="m",
    )
    upstream.script = answers({"error": {}}, 400)
    assert post(app.test_client()).status_code == 400
    assert len(upstream.received) == 1


def test_a_stale_connection_is_replayed_on_a_new_one(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client()
    post(client)
    good, upstream.script = upstream.script, sends(b"")
    real = upstream.script

    def once(connection: Any, request: Any) -> bool:
        upstream.script = good
        return real(connection, request)

    upstream.script = once
    response = post(client)
    assert (response.status_code, response.headers["x-gateway-attempts"]) == (200, "2")
    assert [request.headers["x-gateway-attempt"] for request in upstream.received] == ["1", "1", "2"]
    assert len({request.headers["x-request-id"] for request in upstream.received[1:]}) == 1
