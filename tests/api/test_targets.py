"""Which target a call goes to, and with which key, while some fail."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.app import BOARD
from tests.api.books import GOOD
from tests.api.failing import GOOD_ANSWER, ask, at_first, failing, metric, told
from tests.fakes.upstream import Received, Upstream, sending

MakeApp = Callable[..., Flask]
Figures = Callable[..., None]


@pytest.mark.shows("F9")
@pytest.mark.parametrize(
    ("status", "retry_after"), [(429, "9999"), (429, "30"), (429, "a date"), (503, "9999"), (529, "30")]
)
def test_a_provider_that_wants_to_be_left_alone_for_long_is_and_the_fallback_answers_at_once(
    status: int, retry_after: str, caller: FlaskClient, upstream: Upstream, figures: Figures
) -> None:
    date = formatdate(time.time() + 3600, usegmt=True)
    upstream.script = failing(status, retry_after=retry_after.replace("a date", date))
    began = time.monotonic()
    assert told(ask(caller, "falls")) == (200, "other/b", "2")
    assert told(ask(caller, "falls")) == (200, "other/b", "2" if len(upstream.received) == 2 else "1")
    assert time.monotonic() - began < 2
    said = "429, 503 or 529 with a Retry-After of 30, 9999 or a date"
    figures(f"0 of 1 refusals for long ({said}) kept a call from another provider for 2 s", 1)


def test_another_key_of_the_pool_is_used_at_once_where_one_was_used_too_often(
    caller: FlaskClient, upstream: Upstream
) -> None:
    def busy(connection: socket.socket, request: Received) -> bool:
        used = request.headers["authorization"] == "Bearer sk-2"
        return (GOOD_ANSWER if used else failing(429, retry_after="30"))(connection, request)

    upstream.script = busy
    began = time.monotonic()
    assert all(ask(caller, "pooled").status_code == 200 for _ in range(10))
    assert time.monotonic() - began < 2
    used = Counter(request.headers["authorization"] for request in upstream.received)
    assert used["Bearer sk-2"] >= 8
    assert max(used["Bearer sk-1"], used["Bearer sk-3"]) == 1, "each rests after its refusal"


def test_a_target_that_fails_again_and_again_is_left_alone_and_called_again_once_it_answers(
    app: Flask, caller: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = failing(500)
    assert told(ask(caller)) == (502, "up/a", "3")
    began = time.monotonic()
    refused = ask(caller)
    assert time.monotonic() - began < 1
    assert refused.json is not None
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "no_provider_available")
    assert refused.headers["x-gateway-attempts"] == "0"
    assert int(refused.headers["Retry-After"]) >= 1
    assert len(upstream.received) == 3, "nobody calls it"
    ready = caller.get("/health/ready").json
    assert ready is not None
    assert (ready["status"], ready["checks"]["provider:up"]) == ("degraded", {"state": "down"})
    assert metric(caller, 'llm_gateway_breaker_open{model="a",provider="up"}') == 1
    upstream.script = GOOD_ANSWER
    time.sleep(0.35)
    assert told(ask(caller)) == (200, "up/a", "1")
    app.extensions[BOARD].look()
    assert metric(caller, 'llm_gateway_breaker_open{model="a",provider="up"}') == 0
    assert [ask(caller).status_code for _ in range(5)] == [200] * 5


def test_a_lower_tier_answers_only_while_the_one_above_does_not(caller: FlaskClient, upstream: Upstream) -> None:
    assert {told(ask(caller, "tiers"))[1] for _ in range(10)} == {"up/a"}
    upstream.script = failing(500)
    assert {told(ask(caller, "tiers"))[1] for _ in range(5)} == {"other/b"}
    assert told(ask(caller, "tiers")) == (200, "other/b", "1"), "what is left alone costs no attempt"
    upstream.script = GOOD_ANSWER
    time.sleep(0.35)
    assert {told(ask(caller, "tiers"))[1] for _ in range(10)} == {"up/a"}


@pytest.mark.parametrize("header", ["x_claude_code_session_id", "session_id", "x_session_affinity"])
def test_a_conversation_that_an_agent_names_keeps_its_target(header: str, caller: FlaskClient) -> None:
    homes = {name: {told(ask(caller, "both", **{header: name}))[1] for _ in range(5)} for name in "abcdefgh"}
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 2, "and not all have the same"
    assert len({told(ask(caller, "both"))[1] for _ in range(40)}) == 2, "without a name any will do"


@pytest.mark.shows("P6")
def test_how_a_client_calls_a_conversation_in_the_body_counts_too(caller: FlaskClient) -> None:
    def home(name: str) -> str | None:
        body = {"model": "both", "messages": [{"role": "user", "content": "Hi"}], "prompt_cache_key": name}
        return told(caller.post("/v1/chat/completions", json=body, headers=GOOD))[1]

    homes = {name: {home(name) for _ in range(5)} for name in "abcdefgh"}
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) == 2


def test_a_model_that_a_credential_may_not_use_takes_no_other_model_away(
    caller: FlaskClient, upstream: Upstream
) -> None:
    def refusing(connection: socket.socket, request: Received) -> bool:
        forbidden = request.json["model"] == "not-ours"
        return (failing(403) if forbidden else GOOD_ANSWER)(connection, request)

    upstream.script = refusing
    for name in ("up/not-ours", "pool/not-ours"):
        assert ask(caller, name).status_code == 502
    assert [told(ask(caller, model))[1] for model in ("falls", "pooled")] == ["up/a", "pool/a"]


def test_the_only_credential_does_not_rest_for_what_one_call_asked_too_much(
    caller: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = at_first(failing(402), failing(403))
    homes = [told(ask(caller, "keyed"))[1] for _ in range(4)]
    assert homes == ["other/b", "other/b", "lone/a", "lone/a"]


def test_while_the_provider_has_asked_for_rest_nobody_calls_it(caller: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(429, retry_after="30")
    assert ask(caller, "pooled").status_code == 200, "of the fallback"
    seen = len(upstream.received)
    refused = ask(caller, "pool/a")
    assert (refused.status_code, len(upstream.received)) == (503, seen)
    assert 25 <= int(refused.headers["Retry-After"]) <= 30


def test_a_stream_that_has_begun_lets_others_call_its_target_again(caller: FlaskClient, upstream: Upstream) -> None:
    upstream.script = failing(500)
    ask(caller)
    time.sleep(0.35)
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
    upstream.script = sending([b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event, b""], pause=0.4)
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    under_way = caller.post("/v1/chat/completions", json=body, headers=GOOD)
    upstream.script = GOOD_ANSWER
    assert [ask(caller).status_code for _ in range(3)] == [200] * 3
    under_way.close()


def test_another_key_is_no_retry_and_needs_no_room_in_their_budget(make_app: MakeApp, upstream: Upstream) -> None:
    file = f"""
retry: {{attempts: 1, budget_percent: 0}}
providers: {{pool: {{kind: openai, base_url: {upstream.base_url}, api_key: 'sk-1,sk-2,sk-3,sk-4'}}}}
models: {{m: {{targets: [{{provider: pool, model: a}}]}}}}
"""
    caller = make_app(file, MODEL_NAME="m").test_client()
    upstream.script = at_first(failing(429), failing(429))
    assert told(ask(caller)) == (200, "pool/a", "3")
    assert metric(caller, "llm_gateway_retries_total") == 0
    upstream.script = failing(429)
    assert ask(caller).status_code == 502
    assert len(upstream.received) <= 3 + 3, "no target is asked more often for one call"


def test_a_short_rest_that_the_only_provider_has_asked_for_is_waited_for(make_app: MakeApp, upstream: Upstream) -> None:
    file = f"""
retry: {{attempts: 1}}
providers: {{lone: {{kind: openai, base_url: {upstream.base_url}, api_key: sk-1}}}}
models: {{m: {{targets: [{{provider: lone, model: a}}]}}}}
"""
    caller = make_app(file, MODEL_NAME="m").test_client()
    upstream.script = at_first(failing(429, retry_after="1"))
    assert ask(caller).status_code == 502
    began = time.monotonic()
    assert ask(caller, x_gateway_timeout_ms="500").status_code == 503, "who cannot wait is told at once"
    assert told(ask(caller)) == (200, "lone/a", "1")
    assert 0.5 < time.monotonic() - began < 2.5


def test_a_target_whose_streams_always_break_off_is_left_alone(caller: FlaskClient, upstream: Upstream) -> None:
    event = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
    broken = sending([b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event], stay=False)
    upstream.script = broken
    homes = [told(ask(caller, "tiers", stream=True))[1] for _ in range(6)]
    assert homes == ["up/a"] * 3 + ["other/b"] * 3
    time.sleep(0.35)
    homes = [told(ask(caller, "tiers", stream=True))[1] for _ in range(3)]
    assert homes == ["up/a", "other/b", "other/b"], "a probe that breaks off opens it again"
