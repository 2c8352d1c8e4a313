"""A gateway whose targets fail as a test wants it."""

from __future__ import annotations

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.books import GOOD
from tests.fakes.upstream import Script, answers, completion

FILE = """
default_model: m
retry: {{budget_percent: 100}}
breaker: {{failures: 3, open_seconds: 0.3}}
providers:
  up: {{kind: openai, base_url: {one}, timeouts: {{total: 1}}}}
  pool: {{kind: openai, base_url: {one}, api_key: 'sk-1,sk-2,sk-3'}}
  lone: {{kind: openai, base_url: {one}, api_key: sk-1, max_in_flight: 1}}
  other: {{kind: openai, base_url: {two}}}
models:
  m: {{targets: [{{provider: up, model: a}}]}}
  falls: {{targets: [{{provider: up, model: a}}], fallback: [last]}}
  patient: {{targets: [{{provider: up, model: a}}], fallback: [last], retry_after_silence: true}}
  pooled: {{targets: [{{provider: pool, model: a}}], fallback: [last]}}
  keyed: {{targets: [{{provider: lone, model: a}}], fallback: [last]}}
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


def ask(caller: FlaskClient, model: str = "m", stream: bool = False, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    return caller.post("/v1/chat/completions", json=body, headers={**GOOD, **named}, buffered=True)


def told(response: TestResponse) -> tuple[int, str | None, str | None]:
    return response.status_code, response.headers.get("x-gateway-model"), response.headers.get("x-gateway-attempts")


def metric(caller: FlaskClient, name: str) -> float:
    lines = caller.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
