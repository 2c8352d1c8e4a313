"""What a caller notices of a provider that fails: as little as can be."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.app import BOARD
from tests.api.books import GOOD
from tests.fakes.upstream import Received, Script, Upstream, answers, completion, sending, sends

MakeApp = Callable[..., Flask]

FILE = """
default_model: m
retry: {{budget_percent: 100}}
breaker: {{failures: 3, open_seconds: 0.3}}
providers:
  up: {{kind: openai, base_url: {one}, timeouts: {{total: 1}}}}
  pool: {{kind: openai, base_url: {one}, api_key: 'sk-1,sk-2,sk-3'}}
  other: {{kind: openai, base_url: {two}}}
models:
  m: {{targets: [{{provider: up, model: a}}]}}
  falls: {{targets: [{{provider: up, model: a}}], fallback: [last]}}
  patient: {{targets: [{{provider: up, model: a}}], fallback: [last], retry_after_silence: true}}
  pooled: {{targets: [{{provider: pool, model: a}}], fallback: [last]}}
  last: {{targets: [{{provider: other, model: b}}]}}
  tiers: {{targets: [{{provider: other, model: b, priority: 2}}, {{provider: up, model: a}}]}}
  both: {{targets: [{{provider: up, model: a}}, {{provider: other, model: b}}]}}
"""
GOOD_ANSWER = answers(completion("Hello"))


def failing(status: int = 503, **headers: str) -> Script:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answers({"error": {"message": "no"}}, status, named)


def at_first(*scripts: Script) -> Script:
    """These, one after the other, then a good answer."""
    left = list(scripts)
    return lambda connection, request: (left.pop(0) if left else GOOD_ANSWER)(connection, request)


@pytest.fixture
def other() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def app(make_app: MakeApp, upstream: Upstream, other: Upstream) -> Flask:
    return make_app(FILE.format(one=upstream.base_url, two=other.base_url), MODEL_NAME="")


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def ask(client: FlaskClient, model: str = "m", stream: bool = False, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    return client.post("/v1/chat/completions", json=body, headers={**GOOD, **named}, buffered=True)


def told(response: TestResponse) -> tuple[int, str | None, str | None]:
    return response.status_code, response.headers.get("x-gateway-model"), response.headers.get("x-gateway-attempts")


def metric(client: FlaskClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_for_a_moment_is_tried_again_and_told_to_the_operator(
    stream: bool, client: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = at_first(failing(), sends(b"", then_reset=True))
    with caplog.at_level(logging.INFO, "gateway.request"):
        assert told(ask(client, stream=stream)) == (200, "up/a", "3")
    tried = caplog.records[-1].__dict__["tried"]
    assert tried[0] == "up/a: status 503, no error code"
    assert tried[1].startswith("up/a: http://127.0.0.1:")
    assert [request.headers["x-gateway-attempt"] for request in upstream.received] == ["1", "2", "3"]
    assert (metric(client, "llm_gateway_retries_total"), metric(client, "llm_gateway_fallbacks_total")) == (2, 0)


@pytest.mark.parametrize("status", [400, 402, 403, 404])
def test_what_no_moment_helps_against_is_not_tried_again(status: int, client: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(status)
    ask(client)
    assert len(upstream.received) == 1


@pytest.mark.shows("F9")
def test_a_quota_that_is_spent_is_not_tried_again_but_elsewhere(client: FlaskClient, upstream: Upstream) -> None:
    upstream.script = answers({"error": {"code": "insufficient_quota"}}, 429, {"retry-after": "1"})
    assert told(ask(client, "falls")) == (200, "other/b", "2")
    assert len(upstream.received) == 1


@pytest.mark.shows("F9")
@pytest.mark.parametrize("retry_after", ["9999", "30"])
def test_a_provider_that_wants_to_be_left_alone_for_long_is_and_the_fallback_answers_at_once(
    retry_after: str, client: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = failing(429, retry_after=retry_after)
    began = time.monotonic()
    assert told(ask(client, "falls")) == (200, "other/b", "2")
    assert told(ask(client, "falls")) == (200, "other/b", "2" if len(upstream.received) == 2 else "1")
    assert time.monotonic() - began < 2


@pytest.mark.shows("F9")
@pytest.mark.parametrize(("retry_after", "least"), [("1", 1.0), ("-1", 0.0), ("abc", 0.0)])
def test_a_provider_that_says_when_is_asked_again_then(
    retry_after: str, least: float, client: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = at_first(failing(retry_after=retry_after))
    began = time.monotonic()
    assert told(ask(client)) == (200, "up/a", "2")
    assert time.monotonic() - began >= least


def test_another_key_of_the_pool_is_used_at_once_where_one_was_used_too_often(
    client: FlaskClient, upstream: Upstream
) -> None:
    def busy(connection: socket.socket, request: Received) -> bool:
        used = request.headers["authorization"] == "Bearer sk-2"
        return (GOOD_ANSWER if used else failing(429, retry_after="30"))(connection, request)

    upstream.script = busy
    began = time.monotonic()
    assert all(ask(client, "pooled").status_code == 200 for _ in range(10))
    assert time.monotonic() - began < 2
    used = Counter(request.headers["authorization"] for request in upstream.received)
    assert used["Bearer sk-2"] >= 8
    assert max(used["Bearer sk-1"], used["Bearer sk-3"]) == 1, "each rests after its refusal"


def test_a_silence_that_may_be_billed_is_followed_by_nothing_unless_the_model_allows_it(
    client: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = sending([b""], pause=1.5, stay=False)
    assert ask(client, "falls").status_code == 504
    assert told(ask(client, "patient")) == (200, "other/b", "2")


def test_a_target_that_fails_again_and_again_is_left_alone_and_called_again_once_it_answers(
    app: Flask, client: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = failing(500)
    assert told(ask(client)) == (502, "up/a", "3")
    began = time.monotonic()
    refused = ask(client)
    assert time.monotonic() - began < 0.3
    assert refused.json is not None
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "no_provider_available")
    assert int(refused.headers["Retry-After"]) >= 1
    assert len(upstream.received) == 3, "nobody calls it"
    ready = client.get("/health/ready").json
    assert ready is not None
    assert (ready["status"], ready["checks"]["provider:up"]) == ("degraded", {"state": "down"})
    assert metric(client, 'llm_gateway_breaker_open{model="a",provider="up"}') == 1
    upstream.script = GOOD_ANSWER
    time.sleep(0.35)
    assert told(ask(client)) == (200, "up/a", "1")
    app.extensions[BOARD].look()
    assert metric(client, 'llm_gateway_breaker_open{model="a",provider="up"}') == 0
    assert [ask(client).status_code for _ in range(5)] == [200] * 5


def test_a_lower_tier_answers_only_while_the_one_above_does_not(client: FlaskClient, upstream: Upstream) -> None:
    assert {told(ask(client, "tiers"))[1] for _ in range(10)} == {"up/a"}
    upstream.script = failing(500)
    assert {told(ask(client, "tiers"))[1] for _ in range(5)} == {"other/b"}
    assert told(ask(client, "tiers")) == (200, "other/b", "1"), "what is left alone costs no attempt"
    upstream.script = GOOD_ANSWER
    time.sleep(0.35)
    assert {told(ask(client, "tiers"))[1] for _ in range(10)} == {"up/a"}


@pytest.mark.parametrize("header", ["x_claude_code_session_id", "session_id", "x_session_affinity"])
def test_a_conversation_that_an_agent_names_keeps_its_target(header: str, client: FlaskClient) -> None:
    homes = {name: {told(ask(client, "both", **{header: name}))[1] for _ in range(5)} for name in "abcdefgh"}
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 2, "and not all have the same"
    assert len({told(ask(client, "both"))[1] for _ in range(40)}) == 2, "without a name any will do"


@pytest.mark.shows("P6")
def test_how_a_client_calls_a_conversation_in_the_body_counts_too(client: FlaskClient) -> None:
    def home(name: str) -> str | None:
        body = {"model": "both", "messages": [{"role": "user", "content": "Hi"}], "prompt_cache_key": name}
        return told(client.post("/v1/chat/completions", json=body, headers=GOOD))[1]

    homes = {name: {home(name) for _ in range(5)} for name in "abcdefgh"}
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 2


def test_a_model_that_a_credential_may_not_use_takes_no_other_model_away(
    client: FlaskClient, upstream: Upstream
) -> None:
    def refusing(connection: socket.socket, request: Received) -> bool:
        forbidden = request.json["model"] == "not-ours"
        return (failing(403) if forbidden else GOOD_ANSWER)(connection, request)

    upstream.script = refusing
    for name in ("up/not-ours", "pool/not-ours"):
        assert ask(client, name).status_code == 502
    assert [told(ask(client, model))[1] for model in ("falls", "pooled")] == ["up/a", "pool/a"]


def test_while_the_provider_has_asked_for_rest_nobody_calls_it(client: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(429, retry_after="30")
    assert ask(client, "pooled").status_code == 200, "of the fallback"
    seen = len(upstream.received)
    refused = ask(client, "pool/a")
    assert (refused.status_code, len(upstream.received)) == (503, seen)
    assert 25 <= int(refused.headers["Retry-After"]) <= 30


def test_however_much_fails_retries_are_a_tenth_of_the_requests_and_ten(make_app: MakeApp, upstream: Upstream) -> None:
    file = f"""
breaker: {{failures: 1000}}
providers: {{up: {{kind: openai, base_url: {upstream.base_url}}}}}
models: {{m: {{targets: [{{provider: up, model: a}}]}}}}
"""
    client = make_app(file, MODEL_NAME="m").test_client()
    upstream.script = failing(500)
    for _ in range(50):
        ask(client)
    assert 50 + 10 <= len(upstream.received) <= 50 + 10 + 5


def test_no_attempt_begins_after_the_client_has_stopped_waiting(client: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(503, retry_after="2")
    began = time.monotonic()
    assert ask(client, x_gateway_timeout_ms="500").status_code == 502
    assert time.monotonic() - began < 1
    assert len(upstream.received) == 1


def test_a_client_that_leaves_between_two_attempts_ends_them(client: FlaskClient, upstream: Upstream) -> None:
    here, there = socket.socketpair()

    def leave(connection: socket.socket, request: Received) -> bool:
        there.close()
        return failing(503, retry_after="2")(connection, request)

    upstream.script = leave
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    with here:
        answer = client.post(
            "/v1/chat/completions", json=body, headers=GOOD, environ_overrides={"gunicorn.socket": here}
        )
    assert (answer.status_code, len(upstream.received)) == (499, 1)
    assert json.loads(answer.data)["error"]["code"] == "client_left"


def test_a_stream_that_has_begun_lets_others_call_its_target_again(client: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(500)
    ask(client)
    time.sleep(0.35)
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
    upstream.script = sending([b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event, b""], pause=0.4)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    under_way = client.post("/v1/chat/completions", json=body, headers=GOOD)
    upstream.script = GOOD_ANSWER
    assert [ask(client).status_code for _ in range(3)] == [200] * 3
    under_way.close()


def test_a_connection_that_had_been_closed_costs_no_call_even_where_nothing_is_tried_again(
    make_app: MakeApp, upstream: Upstream
) -> None:
    file = f"""
retry: {{attempts: 1}}
providers: {{up: {{kind: openai, base_url: {upstream.base_url}}}}}
models: {{m: {{targets: [{{provider: up, model: a}}]}}}}
"""
    client = make_app(file, MODEL_NAME="m").test_client()
    ask(client)
    upstream.script = at_first(sends(b""))
    assert told(ask(client)) == (200, "up/a", "2")
