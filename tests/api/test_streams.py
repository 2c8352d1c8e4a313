"""Streams as clients get them, and what is written down of them."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import KEY
from tests.fakes.upstream import Received, Upstream, answers, completion, sending

MakeApp = Callable[..., Flask]
GOOD = {"x-api-key": KEY}
CHAT = {"messages": [{"role": "user", "content": "Hello wörld"}]}
ASK = {"prompt": "Hello wörld", "user_id": "u-1"}
CHUNKED = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def streamed(client: FlaskClient, path: str, body: dict[str, Any], **headers: str) -> TestResponse:
    response = client.post(path, json={**body, "stream": True}, headers={**GOOD, **headers})
    response.get_data()
    response.close()
    return response


def said(response: TestResponse) -> list[Any]:
    """What the events say, comments left out; the last one's `[DONE]` as that word."""
    events = [event for event in response.text.split("\n\n") if event.startswith("data: ")]
    return [data if data == "[DONE]" else json.loads(data) for data in (event[6:] for event in events)]


def line(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The fields of the one log line."""
    (found,) = [record for record in caplog.records if record.name == "gateway.request"]
    fields: dict[str, Any] = vars(found)["fields"]
    return fields


@pytest.fixture(autouse=True)
def _lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def sse(*chunks: Any) -> Callable[..., bool]:
    """An upstream's script: these chunks, and then its end if the last is None."""
    events = "".join("data: [DONE]\n\n" if chunk is None else f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    return lambda connection, request: bool(connection.sendall((CHUNKED + events).encode()))


def chunk(content: str, reason: str | None = None, **rest: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice], **rest}


USAGE = {"id": "c", "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120}}


@pytest.fixture
def vendor(make_app: MakeApp, upstream: Upstream) -> FlaskClient:
    yaml = f"""
providers: {{openai: {{kind: openai, base_url: "{upstream.base_url}", api_key: sk-secret-1}}}}
models:
  fast: {{targets: [{{provider: openai, model: gpt-4o-mini}}]}}
  picky: {{strict: true, targets: [{{provider: openai, model: gpt-4o-mini}}]}}
retry: {{attempts: 1}}
"""
    return make_app(yaml, MODEL_NAME="fast").test_client()


def test_a_prompts_stream_tells_deltas_then_the_account_then_that_it_is_done(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = streamed(client, "/inference", ASK)
    assert response.mimetype == "text/event-stream"
    assert response.headers["X-Accel-Buffering"] == "no"
    *deltas, account, done = said(response)
    assert "".join(event["delta"] for event in deltas) == ASK["prompt"]
    assert list(account) == [
        "prompt_tokens", "completion_tokens", "estimated_cost_usd", "duration_ms", "model", "cached", "usage_source",
        "request_id",
    ]  # fmt: skip
    assert (account["model"], account["request_id"], done) == (
        "offline/echo",
        response.headers["X-Request-ID"],
        "[DONE]",
    )
    assert (line(caplog)["stream"], line(caplog)["error_code"]) == (True, None)
    assert line(caplog)["ttft_ms"] is not None


def test_the_usage_is_told_only_to_a_client_that_asked_for_it(vendor: FlaskClient, upstream: Upstream) -> None:
    upstream.script = sse(chunk("Hi", usage=None), chunk("", "stop", usage=None), USAGE, None)
    plain = said(streamed(vendor, "/v1/chat/completions", CHAT))
    assert plain == [chunk("Hi"), chunk("", "stop"), "[DONE]"]
    asked = said(streamed(vendor, "/v1/chat/completions", {**CHAT, "stream_options": {"include_usage": True}}))
    assert asked == [chunk("Hi", usage=None), chunk("", "stop", usage=None), USAGE, "[DONE]"]


def test_what_the_provider_reports_is_what_is_written_down(
    vendor: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = sse(chunk("Hi"), chunk("", "stop"), USAGE, None)
    streamed(vendor, "/v1/chat/completions", CHAT)
    written = line(caplog)
    assert (written["prompt_tokens"], written["completion_tokens"]) == (20, 100)
    assert (written["usage_source"], written["finish_reason"]) == ("provider", "stop")
    assert float(written["estimated_cost_usd"]) == 20 * 0.15e-6 + 100 * 0.6e-6


def test_without_a_report_the_tokens_that_were_delivered_are_counted(
    vendor: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = sse(chunk("hello "), chunk("world", "stop"), None)
    assert said(streamed(vendor, "/inference", ASK))[-2]["usage_source"] == "counted"
    assert (line(caplog)["completion_tokens"], line(caplog)["usage_source"]) == (2, "counted")


def test_a_report_of_no_tokens_for_a_text_is_not_believed(
    vendor: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    upstream.script = sse(chunk("hello world", "stop"), nothing, None)
    streamed(vendor, "/v1/chat/completions", CHAT)
    assert (line(caplog)["completion_tokens"], line(caplog)["usage_source"]) == (2, "counted")


@pytest.mark.parametrize("path", ["/inference", "/v1/chat/completions"])
def test_a_stream_that_breaks_ends_with_an_error_and_never_says_that_it_is_done(
    path: str, vendor: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = sse(chunk("hello world"))
    response = streamed(vendor, path, ASK if path == "/inference" else CHAT)
    last = said(response)[-1]
    assert response.status_code == 200
    assert (last["error"]["code"], last["error"]["type"]) == ("upstream_error", "server_error")
    assert "[DONE]" not in response.text
    written = line(caplog)
    assert (written["error_code"], written["completion_tokens"], written["usage_source"]) == (
        "upstream_error",
        2,
        "counted",
    )


def test_a_stream_that_cannot_begin_is_an_error_like_any_other(vendor: FlaskClient, upstream: Upstream) -> None:
    upstream.script = answers({"error": {"message": "no"}}, 400)
    refused = streamed(vendor, "/v1/chat/completions", CHAT)
    assert (refused.status_code, refused.json) == (400, {"error": {"message": "no"}})
    upstream.script = sse(None)
    failed = streamed(vendor, "/v1/chat/completions", CHAT)
    assert (failed.status_code, failed.mimetype) == (502, "application/json")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_anything_came_has_its_prompt_counted(
    stream: bool, vendor: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = sending([b""], pause=2, stay=False)
    here, there = socket.socketpair()
    there.close()
    with here:
        response = vendor.post(
            "/v1/chat/completions",
            json={**CHAT, "stream": stream},
            headers=GOOD,
            environ_overrides={"gunicorn.socket": here},
        )
    written = line(caplog)
    assert (response.status_code, written["error_code"], written["usage_source"]) == (499, "client_left", "counted")
    assert (written["prompt_tokens"] > 0, written["completion_tokens"]) == (True, 0)


@pytest.mark.parametrize(("status", "passed"), [(400, 400), (500, 502), (401, 502)])
@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_tells_who_was_asked_and_by_which_id_the_provider_knows_it(
    stream: bool, status: int, passed: int, vendor: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script = answers({"error": {"message": "no"}}, status, {"x-request-id": "up-1"})
    response = vendor.post("/v1/chat/completions", json={**CHAT, "stream": stream}, headers=GOOD)
    told = {name: response.headers.get(f"x-gateway-{name}") for name in ("model", "cache", "attempts")}
    assert (response.status_code, told) == (passed, {"model": "openai/gpt-4o-mini", "cache": "bypass", "attempts": "1"})
    assert response.headers["x-gateway-upstream-request-id"] == line(caplog)["upstream_request_id"] == "up-1"
    assert response.headers.get("x-should-retry") == ("false" if status == 401 else None)


def test_a_refusal_that_comes_after_a_sign_of_life_still_says_what_the_provider_said(
    vendor: FlaskClient, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.services.relay.HEARTBEAT", 0.1)
    refuse = answers({"error": {"message": "no such tool", "param": "tools"}}, 400)

    def slowly(connection: socket.socket, request: Received) -> bool:
        time.sleep(0.3)
        return refuse(connection, request)

    upstream.script = slowly
    response = streamed(vendor, "/v1/chat/completions", CHAT)
    assert (response.status_code, response.headers["x-gateway-cache"]) == (200, "bypass")
    assert response.text.startswith(": ping\n\n")
    assert said(response) == [{"error": {"message": "no such tool", "param": "tools"}}]


def test_before_the_first_event_another_target_may_answer(make_app: MakeApp, upstream: Upstream) -> None:
    yaml = f"""
providers:
  openai: {{kind: openai, base_url: "{upstream.base_url}", api_key: sk-secret-1}}
  offline: {{kind: offline}}
models:
  fast: {{targets: [{{provider: openai, model: gpt-4o-mini}}], fallback: [offline/echo]}}
"""
    client = make_app(yaml, MODEL_NAME="fast").test_client()
    upstream.script = sse({"error": {"message": "overloaded"}})
    first = streamed(client, "/inference", ASK)
    assert (first.headers["x-gateway-model"], first.headers["x-gateway-attempts"]) == ("offline/echo", "2")
    upstream.script = sse(chunk("Hi"), {"error": {"message": "overloaded"}})
    assert said(streamed(client, "/inference", ASK))[-1]["error"]["code"] == "upstream_error"


def test_a_field_that_nobody_documents_passes_unless_the_model_is_strict(
    vendor: FlaskClient, upstream: Upstream
) -> None:
    upstream.script = answers(completion("x"))
    body = {**CHAT, "top_k": 5}
    assert vendor.post("/v1/chat/completions", json=body, headers=GOOD).status_code == 200
    assert upstream.received[0].json["top_k"] == 5
    refused = vendor.post("/v1/chat/completions", json={**body, "model": "picky"}, headers=GOOD)
    assert refused.status_code == 400
    assert refused.json
    assert (refused.json["error"]["param"], refused.json["error"]["code"]) == ("top_k", "unknown_parameter")
    assert len(upstream.received) == 1


def test_a_field_that_would_steer_the_gateway_is_refused_everywhere(vendor: FlaskClient) -> None:
    response = vendor.post("/v1/chat/completions", json={**CHAT, "api_base": "http://127.0.0.1:1"}, headers=GOOD)
    assert (response.status_code, response.json and response.json["error"]["code"]) == (400, "unknown_parameter")


class TestCache:
    @pytest.fixture
    def cached(self, make_app: MakeApp, upstream: Upstream) -> FlaskClient:
        return make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o", CACHE_TTL="60").test_client()

    def test_a_streams_answer_is_given_again_as_a_whole(self, cached: FlaskClient, upstream: Upstream) -> None:
        upstream.script = sse(chunk("Hel"), chunk("lo", "stop"), USAGE, None)
        assert streamed(cached, "/v1/chat/completions", CHAT).headers["x-gateway-cache"] == "miss"
        again = cached.post("/v1/chat/completions", json=CHAT, headers=GOOD)
        assert again.headers["x-gateway-cache"] == "hit"
        assert again.json
        assert again.json["object"] == "chat.completion"
        assert again.json["choices"][0]["message"] == {"role": "assistant", "content": "Hello"}
        assert again.json["usage"] == USAGE["usage"]

    def test_a_whole_answer_is_given_again_as_a_stream(self, cached: FlaskClient, upstream: Upstream) -> None:
        upstream.script = answers(completion("Hello"))
        cached.post("/v1/chat/completions", json=CHAT, headers=GOOD)
        again = streamed(cached, "/v1/chat/completions", CHAT)
        assert again.headers["x-gateway-cache"] == "hit"
        *events, done = said(again)
        assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == "Hello"
        assert (events[-1]["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")
        assert {event["object"] for event in events} == {"chat.completion.chunk"}
        assert len(upstream.received) == 1

    def test_a_replay_buys_nothing(
        self, cached: FlaskClient, upstream: Upstream, caplog: pytest.LogCaptureFixture
    ) -> None:
        upstream.script = sse(chunk("Hello", "stop"), USAGE, None)
        streamed(cached, "/inference", ASK)
        caplog.clear()
        account = said(streamed(cached, "/inference", ASK))[-2]
        assert (account["cached"], account["usage_source"], account["estimated_cost_usd"]) == (True, "cache", 0)
        assert (line(caplog)["cached"], line(caplog)["attempts"]) == (True, 0)

    @pytest.mark.parametrize(
        "chunks",
        [[chunk("Hel")], [chunk("Hel"), None], [chunk("Hel", "content_filter"), None],
         [chunk("Hel", "stop"), {"error": {"message": "x"}}], [chunk("Hel", "stop")]],
        ids=["cut", "without a reason", "filtered", "broken", "without its mark"],
    )  # fmt: skip
    def test_a_stream_that_was_not_whole_is_not_kept(
        self, chunks: list[Any], cached: FlaskClient, upstream: Upstream
    ) -> None:
        upstream.script = sse(*chunks)
        for _ in range(2):
            assert streamed(cached, "/v1/chat/completions", CHAT).headers["x-gateway-cache"] == "miss"
