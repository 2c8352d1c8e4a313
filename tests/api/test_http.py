"""Health, errors, labels and log lines of every route."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway import __version__
from tests.conftest import KEY

MakeApp = Callable[..., Flask]
ASK = {"prompt": "a secret question", "user_id": "u-1"}
GOOD = {"x-api-key": KEY, "content-type": "application/json"}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    caplog.set_level(logging.INFO, "gateway.request")
    return lambda: [record.__dict__["fields"] for record in caplog.records if record.name == "gateway.request"]


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_health_is_open_and_tells_the_version(path: str, client: FlaskClient) -> None:
    assert client.get(path).json == {"status": "ok", "version": __version__}


def test_readiness_names_each_dependency(client: FlaskClient) -> None:
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json) == (
        200,
        {
            "status": "ready",
            "checks": {
                "provider:offline": {"state": "ok"},
                "ledger": {"state": "ok"},
                "counters": {"state": "ok"},
                "tokenizers": {"state": "ok"},
                "configuration": {"state": "ok"},
            },
        },
    )


def test_readiness_is_degraded_without_tokenizer_files(make_app: MakeApp, tmp_path: Any) -> None:
    ready = make_app(TIKTOKEN_CACHE_DIR=str(tmp_path)).test_client().get("/health/ready").json
    assert ready is not None
    assert (ready["status"], ready["checks"]["tokenizers"]) == ("degraded", {"state": "degraded"})


def test_the_root_tells_where_to_go_and_head_of_it_counts_as_nothing(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    assert client.head("/").status_code == 200
    assert lines() == []
    assert "flask_http_request_total{" not in client.get("/metrics").get_data(as_text=True)
    root = client.get("/").json
    assert root is not None
    assert root["inference"] == "/inference"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/debug", 404, "not_found"),
        ("GET", "/admin/v1/keys", 404, "not_found"),
        ("GET", "/console", 404, "not_found"),
        ("GET", "/inference", 405, "method_not_allowed"),
        ("TRACE", "/inference", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("POST", "/inference", 401, "invalid_api_key"),
    ],
)
def test_every_failure_is_json_in_openais_shape_and_one_log_line(
    method: str, path: str, status: int, code: str, client: FlaskClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    response = client.open(path, method=method)
    assert (response.status_code, response.content_type) == (status, "application/json")
    assert response.json is not None
    assert response.json["error"].keys() == {"message", "type", "param", "code"}
    assert response.json["error"]["code"] == code
    written = lines()
    assert [(line["status"], line["error_code"], line["path"]) for line in written] == [(status, code, path)]
    assert written[0]["request_id"] == response.headers["X-Request-ID"]


def test_a_crash_is_a_500_that_tells_nothing_and_logs_the_stack(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: object) -> None:
        raise ZeroDivisionError("internal detail")

    monkeypatch.setattr("gateway.schemas.inference.read", crash)
    with caplog.at_level(logging.INFO):
        response = make_app().test_client().post("/inference", json=ASK, headers=GOOD)
    assert response.status_code == 500
    assert b"internal detail" not in response.data
    assert response.json is not None
    assert response.json["error"]["code"] == "internal_error"
    crashed, line = caplog.records[-2:]
    assert crashed.exc_info is not None
    fields = line.__dict__["fields"]
    assert (fields["status"], fields["error_code"]) == (500, "internal_error")


@pytest.mark.parametrize("good", ["a", "A-z_0.9", "x" * 128])
def test_a_sound_request_id_is_kept(good: str, client: FlaskClient) -> None:
    assert client.get("/health", headers={"X-Request-ID": good}).headers["X-Request-ID"] == good


@pytest.mark.parametrize("bad", ["", "x" * 129, "a b", "a;b", "é", '{"a":1}', "a\tb"])
def test_any_other_request_id_is_replaced(bad: str, client: FlaskClient) -> None:
    made = client.get("/health", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
    assert made != bad
    assert len(made) == 32


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=" + "-" * 5000}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"content-encoding": "br"}, 415),
        ({"content-encoding": "zstd"}, 415),
        ({"content-type": "application/json; charset=UTF-8"}, 200),
        ({"content-type": "Application/JSON;charset=utf8"}, 200),
        ({"content-type": "application/vnd.api+json"}, 200),
        ({"content-encoding": "identity"}, 200),
    ],
)
def test_only_plain_json_is_read(headers: dict[str, str], status: int, client: FlaskClient) -> None:
    body = b'{"prompt": "x", "user_id": "u"}'
    response = client.post("/inference", data=body, headers={**GOOD, **headers})
    assert response.status_code == status
    if status == 415:
        assert response.json is not None
        assert response.json["error"]["code"] == "unsupported_media_type"


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(make_app: MakeApp) -> None:
    client = make_app(MAX_BODY_BYTES="2000").test_client()
    body = b'{"user_id": "u", "prompt": "' + b"x" * (2000 - 30) + b'"}'
    assert client.post("/inference", data=body, headers=GOOD).status_code == 200
    refused = client.post("/inference", data=body + b" ", headers=GOOD)
    assert refused.status_code == 413
    assert refused.json is not None
    assert refused.json["error"]["code"] == "request_too_large"


def test_a_line_knows_its_caller_and_labels_but_no_prompt(
    client: FlaskClient, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    labels = {
        "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01",
        "x-claude-code-session-id": "session-1",
        "user-agent": "agent/1.0" + "x" * 1000,
    }
    client.post("/inference", json=ASK, headers={**GOOD, **labels})
    line = lines()[0]
    assert (line["tenant"], line["user_id"], line["session_id"]) == ("default", "u-1", "session-1")
    assert line["key_id"].startswith("env-")
    assert len(line["key_id"]) == 12
    assert line["trace_id"] == "ab" * 16
    assert len(line["client"]) == 256
    assert "a secret question" not in str(line)
    assert KEY not in str(line)


def test_prompts_are_logged_only_if_the_operator_says_so(
    make_app: MakeApp, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    make_app(LOG_PROMPTS="true").test_client().post("/inference", json=ASK, headers=GOOD)
    assert (lines()[0]["prompt"], lines()[0]["response"]) == ("a secret question", "a secret question")


def test_the_metrics_count_requests_by_route_and_never_by_path(client: FlaskClient) -> None:
    for number in range(20):
        client.get(f"/made-up-{number}")
        client.open("/health", method=f"MADE-UP-{number}")
    metrics = client.get("/metrics").get_data(as_text=True)
    assert "made-up" not in metrics.lower()
    assert 'method="OTHER",status="405"} 20.0' in metrics
    assert f'llm_gateway_build_info{{version="{__version__}"}} 1.0' in metrics


@pytest.mark.parametrize(
    ("trusted", "address"), [("127.0.0.0/8", "203.0.113.7"), ("10.0.0.0/8", "127.0.0.1"), ("", "127.0.0.1")]
)
def test_the_log_names_the_client_behind_proxies_that_are_trusted(
    trusted: str, address: str, make_app: MakeApp, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    make_app(TRUSTED_PROXIES=trusted).test_client().get("/health", headers={"x-forwarded-for": "1.1.1.1, 203.0.113.7"})
    assert lines()[0]["client_address"] == address
