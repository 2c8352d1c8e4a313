"""A gateway before fakes of all three vendors, and how it is asked in each dialect."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import KEY

GOOD = {"x-api-key": KEY}
SAID = [{"role": "user", "content": "Hello"}]
MARK = {"cache_control": {"type": "ephemeral"}}
FILE = """
retry: {{attempts: 1}}
providers:
  claude: {{kind: anthropic, base_url: {claude}, api_key: {claude_key}}}
  gemini: {{kind: gemini, base_url: {gemini}, api_key: {gemini_key}}}
  openai: {{kind: openai, base_url: {openai}, api_key: {openai_key}}}
  chats: {{kind: groq, base_url: {openai}, api_key: {openai_key}}}
models:
  claude: {{targets: [{{provider: claude, model: claude-sonnet-4-5}}], price: {{input: 3, output: 15, cached_input: 0.3,
            cache_write: 3.75, cache_write_1h: 6}}, fallback: [gpt]}}
  gemini: {{targets: [{{provider: gemini, model: gemini-2.5-flash}}]}}
  gpt: {{targets: [{{provider: openai, model: gpt-4o-mini}}]}}
  chats: {{targets: [{{provider: chats, model: gpt-4o-mini}}]}}
  all-or-nothing: {{targets: [{{provider: gemini, model: gemini-2.5-flash}}], on_unsupported: refuse}}
"""


def post(client: FlaskClient, path: str, headers: dict[str, str] | None = None, **body: Any) -> TestResponse:
    return client.post(path, json=body, headers={**GOOD, "Cache-Control": "no-store", **(headers or {})})


def ask(client: FlaskClient, model: str, **more: Any) -> TestResponse:
    return post(client, "/v1/messages", model=model, **{"max_tokens": 50, "messages": SAID, **more})


def chat(client: FlaskClient, model: str, **more: Any) -> TestResponse:
    return post(client, "/v1/chat/completions", model=model, **{"messages": SAID, **more})
