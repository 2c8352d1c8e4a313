"""A gateway with a priced model before an upstream that records, and its ledger to look into."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.accounting import reports
from gateway.app import DIRECTORY, LEDGER
from gateway.policy import keys
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.conftest import KEY
from tests.fakes.ledgers import everything
from tests.fakes.upstream import Upstream, completion

GOOD = {"x-api-key": KEY}
CHAT = {"messages": [{"role": "user", "content": "Hello"}]}

# One nano-dollar a token of a prompt, two a token of an answer.
FILE = """
default_model: m
retry: {{attempts: 1}}
providers:
  up: {{kind: openai, base_url: {url}, timeouts: {{total: 1.5}}}}
  spare: {{kind: openai, base_url: {url}}}
models:
  m: {{targets: [{{provider: up, model: gpt-4o-mini}}], price: {{input: 0.001, output: 0.002}}}}
  capped: {{targets: [{{provider: up, model: tiny}}], price: {{input: 0.001, output: 0.002}}, max_output_tokens: 50}}
  open: {{targets: [{{provider: up, model: tiny}}], price: {{input: 0.001, output: 0.002}}}}
  dear: {{targets: [{{provider: spare, model: tiny}}], price: {{input: 1, output: 2}}}}
  falls: {{targets: [{{provider: up, model: tiny}}], price: {{input: 0.001, output: 0.002}}, fallback: [dear]}}
"""


@dataclass
class Books:
    """The application's client, its upstream and its ledger."""

    client: FlaskClient
    upstream: Upstream
    file: Path

    def limit(self, subject: str, rate: str, value: str, mode: str = "hard") -> None:
        (outcome,) = self._database.transact([lambda tx: reports.set_limit(tx, subject, rate, value, mode)])
        assert outcome.error is None
        self.client.application.extensions[DIRECTORY].refresh()

    def key(self, tenant: str = "default", **said: Any) -> str:
        """The credential of a new key."""
        (outcome,) = self._database.transact([lambda tx: keys.create_key(tx, tenant, 0, **said)])
        assert outcome.error is None
        self.client.application.extensions[DIRECTORY].refresh()
        return str(outcome.result)

    def ask(self, key: str = KEY, **fields: Any) -> TestResponse:
        """A chat with 10 tokens at most, if nothing else is said."""
        body = {**CHAT, "max_tokens": 10, **fields}
        response = self.client.post("/v1/chat/completions", json=body, headers={"x-api-key": key})
        response.get_data()
        response.close()
        return response

    @property
    def _database(self) -> SqliteDatabase:
        return SqliteDatabase(self.file.parent)

    def refusal(self, **fields: Any) -> tuple[int, str, str | None]:
        """Status, code and field of the error that a request gets."""
        response = self.ask(**fields)
        assert response.json
        return response.status_code, response.json["error"]["code"], response.json["error"]["param"]

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables."""
        wait_until_settled(self.client.application)
        return everything(self.file.parent)

    def rows(self, columns: str = "cost_nano, usage_source, error_code") -> list[tuple[Any, ...]]:
        wait_until_settled(self.client.application)
        with sqlite3.connect(self.file) as connection:
            return connection.execute(f"SELECT {columns} FROM usage ORDER BY id").fetchall()

    def standing(self) -> list[tuple[int, int]]:
        """What is spent and held of each limit."""
        wait_until_settled(self.client.application)
        found = SqliteDatabase(self.file.parent).read(lambda tx: list(reports.standings(tx)))
        return [(standing.spent, standing.held) for standing in found]

    @property
    def sent(self) -> list[Any]:
        """The bodies that the upstream got."""
        return [request.json for request in self.upstream.received]


def wait_until_settled(app: Flask) -> None:
    """Return once everything is written down that has been answered: what is settled behind an answer is committed no
    later than what is asked for after it."""
    app.extensions[LEDGER].write(lambda tx: None)


def used(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """A completion of so many tokens."""
    return completion("Hi", usage={"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens})
