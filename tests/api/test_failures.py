"""What a caller notices of a provider that fails: as little as can be."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.api.books import GOOD, Books
from tests.api.failing import GOOD_ANSWER, ask, at_first, failing, metric, told
from tests.fakes.upstream import Received, Upstream, answers, sending, sends

MakeApp = Callable[..., Flask]
Figures = Callable[..., None]


@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_for_a_moment_is_tried_again_and_told_to_the_operator(
    stream: bool, caller: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = at_first(failing(), sends(b"", then_reset=True))
    with caplog.at_level(logging.INFO, "gateway.request"):
        assert told(ask(caller, stream=stream)) == (200, "up/a", "3")
    tried = caplog.records[-1].__dict__["fields"]["tried"]
    assert tried[0] == "up/a: status 503, no error code"
    assert tried[1].startswith("up/a: http://127.0.0.1:")
    assert [request.headers["x-gateway-attempt"] for request in upstream.received] == ["1", "2", "3"]
    assert (metric(caller, "llm_gateway_retries_total"), metric(caller, "llm_gateway_fallbacks_total")) == (2, 0)


@pytest.mark.parametrize("status", [400, 402, 403, 404])
def test_what_no_moment_helps_against_is_not_tried_again(status: int, caller: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(status)
    ask(caller)
    assert len(upstream.received) == 1


@pytest.mark.shows("F9")
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (402, {"code": "no_money"}),
        (429, {"code": "insufficient_quota"}),
        (429, {"code": "billing_hard_limit_reached"}),
        (429, {"code": "rate_limit_exceeded", "type": "insufficient_quota"}),
        (429, {"code": "quota_exceeded"}),
        (429, {"type": "exceeded_current_quota_error"}),
        (429, {"message": "You exceeded your current quota, please check your plan and billing details."}),
    ],
)
def test_a_quota_that_is_spent_is_not_tried_again_but_elsewhere(
    status: int, error: dict[str, str], caller: FlaskClient, upstream: Upstream, figures: Figures
) -> None:
    upstream.script = answers({"error": error}, status, {"retry-after": "1"})
    assert told(ask(caller, "falls")) == (200, "other/b", "2")
    assert len(upstream.received) == 1
    assert ask(caller).headers["x-should-retry"] == "false"
    figures("0 of 1 refusals for want of money (429 or 402) were tried again there", 1)


@pytest.mark.shows("F9")
def test_a_minutes_quota_that_gemini_names_so_is_tried_again(caller: FlaskClient, upstream: Upstream) -> None:
    message = "You exceeded your current quota, please check your plan and billing details."
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message}
    upstream.script = at_first(answers([{"error": error}], 429))
    assert told(ask(caller)) == (200, "up/a", "2")


@pytest.mark.shows("F9")
@pytest.mark.parametrize(
    ("status", "retry_after", "least"),
    [
        (503, "2", 2.0),
        (529, "1", 1.0),
        (429, "1", 1.0),
        (503, "a date", 1.0),
        (503, "-1", 0.0),
        (503, "abc", 0.0),
        (529, "", 0.0),
    ],
)
def test_a_provider_that_says_when_is_asked_again_then(
    status: int, retry_after: str, least: float, caller: FlaskClient, upstream: Upstream, figures: Figures
) -> None:
    date = formatdate(time.time() + 2, usegmt=True)
    upstream.script = at_first(failing(status, retry_after=retry_after.replace("a date", date)))
    began = time.monotonic()
    assert told(ask(caller)) == (200, "up/a", "2")
    assert least <= time.monotonic() - began < least + 1.5
    said = "429, 503 or 529 with a Retry-After of 1, 2, a date, -1, abc or none"
    figures(f"0 of 1 refusals for a moment ({said}) were tried again sooner, or over 1.5 s later", 1)


def test_a_silence_that_may_be_billed_is_followed_by_nothing_unless_the_model_allows_it(
    caller: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = sending([b""], pause=1.5, stay=False)
    assert ask(caller, "falls").status_code == 504
    assert told(ask(caller, "patient")) == (200, "other/b", "2")


def test_a_clients_own_deadline_says_nothing_against_a_target(caller: FlaskClient, upstream: Upstream) -> None:
    upstream.script = sending([b""], pause=0.3, stay=False)
    for _ in range(4):
        response = ask(caller, x_gateway_timeout_ms="50")
        assert (response.status_code, "x-gateway-timeout-ms" in response.text) == (504, True)
    upstream.script = GOOD_ANSWER
    assert ask(caller).status_code == 200


def test_a_call_that_its_limit_refuses_keeps_no_place_at_its_target(
    app: Flask, caller: FlaskClient, upstream: Upstream, ledger_file: Path
) -> None:
    books = Books(caller, upstream, ledger_file)
    books.limit("global", "requests/day", "0")
    assert [ask(caller, "lone/a").status_code for _ in range(3)] == [429] * 3
    books.limit("global", "requests/day", "9")
    assert ask(caller, "lone/a").status_code == 200


def test_however_much_fails_retries_are_a_tenth_of_the_requests_and_ten(make_app: MakeApp, upstream: Upstream) -> None:
    file = f"""
breaker: {{failures: 1000}}
providers: {{up: {{kind: openai, base_url: {upstream.base_url}}}}}
models: {{m: {{targets: [{{provider: up, model: a}}]}}}}
"""
    caller = make_app(file, MODEL_NAME="m").test_client()
    upstream.script = failing(500)
    for _ in range(50):
        ask(caller)
    assert 50 + 10 <= len(upstream.received) <= 50 + 10 + 5


def test_no_attempt_begins_after_the_client_has_stopped_waiting(caller: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(503, retry_after="2")
    began = time.monotonic()
    assert ask(caller, x_gateway_timeout_ms="500").status_code == 502
    assert time.monotonic() - began < 1
    assert len(upstream.received) == 1


def test_a_client_that_leaves_between_two_attempts_ends_them(caller: FlaskClient, upstream: Upstream) -> None:
    here, there = socket.socketpair()

    def leave(connection: socket.socket, request: Received) -> bool:
        there.close()
        return failing(503, retry_after="2")(connection, request)

    upstream.script = leave
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    with here:
        answer = caller.post(
            "/v1/chat/completions", json=body, headers=GOOD, environ_overrides={"gunicorn.socket": here}
        )
    assert (answer.status_code, len(upstream.received)) == (499, 1)
    assert json.loads(answer.data)["error"]["code"] == "client_left"


def test_a_connection_that_had_been_closed_costs_no_call_even_where_nothing_is_tried_again(
    make_app: MakeApp, upstream: Upstream
) -> None:
    file = f"""
retry: {{attempts: 1}}
providers: {{up: {{kind: openai, base_url: {upstream.base_url}}}}}
models: {{m: {{targets: [{{provider: up, model: a}}]}}}}
"""
    caller = make_app(file, MODEL_NAME="m").test_client()
    ask(caller)
    upstream.script = at_first(sends(b""))
    assert told(ask(caller)) == (200, "up/a", "2")
