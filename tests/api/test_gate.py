"""The gate: so many calls at once, and for the others a refusal like any other."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.api import gate
from gateway.app import PLACES
from tests.conftest import KEY

MakeApp = Callable[..., Flask]
GOOD = {"x-api-key": KEY}
ASK = {"prompt": "Hello", "user_id": "u-1"}
STREAM = {**ASK, "stream": True}


def one_place(queue: int = 0, seconds: float = 5) -> str:
    return f"overload: {{max_in_flight: 1, max_queue: {queue}, queue_seconds: {seconds}}}"


def held(client: FlaskClient) -> TestResponse:
    """A stream that is not read to its end: it keeps its place."""
    return client.post("/inference", json=STREAM, headers=GOOD)


def ask(client: FlaskClient, path: str = "/inference", **headers: str) -> TestResponse:
    with client.post(path, json=ASK, headers=headers or GOOD) as response:
        response.get_data()
        return response


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app(one_place())


@pytest.fixture
def full(app: Flask) -> Iterator[FlaskClient]:
    client = app.test_client()
    with held(client):
        yield client


def test_beyond_its_bound_a_worker_answers_503_like_any_other_error(full: FlaskClient) -> None:
    refused = ask(full)
    assert refused.status_code == 503
    assert refused.json is not None
    assert refused.json["error"]["code"] == "overloaded"
    assert set(refused.json["error"]) == {"message", "type", "param", "code"}
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-request-id"]
    assert refused.headers["x-content-type-options"] == "nosniff"
    assert refused.headers["cache-control"] == "no-store"
    assert refused.content_type == "application/json"


def test_a_refusal_has_its_line_and_is_counted(full: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.request")
    ask(full, **GOOD, **{"x-request-id": "mine"})
    line: Any = vars(caplog.records[-1])["fields"]
    assert (line["request_id"], line["status"], line["error_code"]) == ("mine", 503, "overloaded")
    assert (line["tenant"], line["path"], line["attempts"]) == ("default", "/inference", 0)
    metrics = full.get("/metrics").get_data(as_text=True)
    assert 'outcome="overloaded",provider="none",tenant="default"} 1.0' in metrics
    assert 'llm_gateway_shed_total{tenant="default"} 1.0' in metrics
    assert "llm_gateway_queued_requests 0.0" in metrics


@pytest.mark.parametrize("path", ["/health", "/metrics", "/openapi.json", "/v1/models"])
def test_what_asks_no_model_passes_a_full_gate(path: str, full: FlaskClient) -> None:
    assert full.get(path, headers=GOOD).status_code == 200


def test_a_wrong_key_is_refused_as_ever_and_takes_no_place(app: Flask, full: FlaskClient) -> None:
    assert ask(full, **{"x-api-key": "wrong"}).status_code == 401
    assert ask(full, authorization="Bearer a, Bearer b").status_code == 400
    assert app.extensions[PLACES].in_flight == 1


@pytest.mark.parametrize("path", ["/v1/nope", "/v1//chat/completions", "//inference"])
def test_a_path_that_does_not_exist_takes_no_place(path: str, full: FlaskClient) -> None:
    assert ask(full, path).status_code == 404


def test_a_place_is_given_back_once_whatever_comes_of_the_call(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client, places = app.test_client(), app.extensions[PLACES]
    with held(client):
        assert places.in_flight == 1
    for body, status in [(ASK, 200), ({}, 422), ({**ASK, "model": "nope/nope"}, 404), (STREAM, 200)]:
        with client.post("/inference", json=body, headers=GOOD) as response:
            response.get_data()
        response.close()
        assert (response.status_code, places.in_flight) == (status, 0)
    monkeypatch.setattr(app, "full_dispatch_request", lambda: 1 / 0)
    monkeypatch.setattr(app, "handle_exception", lambda error: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.post("/inference", json=ASK, headers=GOOD)
    assert places.in_flight == 0


def test_a_call_waits_for_a_place_and_its_wait_is_no_overhead(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.request")
    app = make_app(one_place(queue=1))
    client, answers = app.test_client(), list[TestResponse]()
    stream = held(client)
    waiting = threading.Thread(target=lambda: answers.append(ask(app.test_client())))
    waiting.start()
    while "llm_gateway_queued_requests 1.0" not in client.get("/metrics").get_data(as_text=True):
        time.sleep(0.01)
    assert app.extensions[PLACES].waiting == 1
    time.sleep(0.3)
    stream.close()
    waiting.join()
    assert answers[0].status_code == 200
    lines: list[Any] = [fields for record in caplog.records if (fields := vars(record).get("fields"))]
    line = next(line for line in reversed(lines) if line["status"] == 200 and not line["stream"])
    assert line["duration_ms"] >= 300 > line["overhead_ms"]
    assert app.extensions[PLACES].in_flight == 0


def test_a_call_that_waits_in_vain_is_refused_and_leaves_the_queue(make_app: MakeApp) -> None:
    app = make_app(one_place(queue=1, seconds=0.2))
    client = app.test_client()
    with held(client):
        assert ask(client).status_code == 503
        assert (app.extensions[PLACES].waiting, app.extensions[PLACES].in_flight) == (0, 1)


def test_the_time_in_the_queue_is_part_of_the_clients_deadline(make_app: MakeApp) -> None:
    app = make_app(one_place(queue=1))
    client = app.test_client()
    stream = held(client)
    began = time.monotonic()
    response = ask(client, **GOOD, **{"x-gateway-timeout-ms": "100"})
    assert (response.status_code, "x-gateway-attempts" in response.headers) == (504, False)
    assert time.monotonic() - began < 1
    assert ask(client, **GOOD, **{"x-gateway-timeout-ms": "soon"}).status_code == 400
    stream.close()


@pytest.mark.parametrize(("seconds", "long"), [(0.0, 10.0), (0.06, 0.05)])
def test_who_is_refused_while_others_wait_long_for_their_turn_comes_back_on_another_connection(
    seconds: float, long: float, full: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_LONG_TURN", long)
    monkeypatch.setattr(gate, "give_way", lambda: time.sleep(seconds))
    closed: list[bool] = []
    message = SimpleNamespace(force_close=lambda: closed.append(True))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.close()
        server = {"gunicorn.socket": ours, "wsgi.input": SimpleNamespace(failed=False, message=message)}
        for _ in range(3):
            with full.post("/inference", headers=GOOD, environ_overrides=server) as response:
                assert response.status_code == 503
    assert len(closed) == (2 if seconds else 0), "the first refusal is what finds it out"
