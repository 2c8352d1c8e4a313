"""Our gateway as an operator sets it up for agents: workers, a tenant with a budget and a key; and its ledger."""

from __future__ import annotations

import http.client
import json
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from bench.agents.agents import AGENTS, MODELS
from bench.agents.fakes import Vendor
from bench.kernel import children
from bench.servers import AVAILABLE, ROOT, Server, free_port, python, running
from gateway.model import NANO_PER_USD, Usage

TENANT = "agents"
_WORKERS = 2
_START_SECONDS = 60
_SETTLE_SECONDS = 10
_LONGEST = 128_000  # tokens that a call without a cap is taken to answer with, until the budget has learnt better

# USD per million tokens, with more decimals than a nano-dollar has.
PRICES = {
    "anthropic": {"input": "5.0123457", "cached_input": "0.5012347",
                  "cache_write": "6.2654321", "cache_write_1h": "10.0246913", "output": "15.0987653"},
    "openai": {"input": "1.2571429", "cached_input": "0.1257143", "cache_write": "1.5714286", "output": "10.0571428",
               "reasoning": "11.7692308"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """Of the ledger."""

    call_id: str
    request_id: str
    provider: str
    model: str
    usage: Usage
    cost_nano: int | None


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running one; `key` is the tenant's."""

    url: str
    key: str
    data: Path

    def rows(self, number: int) -> list[Row]:
        """The ledger's rows, once there are so many of them or ten seconds are over."""
        until = time.monotonic() + _SETTLE_SECONDS
        while len(rows := self._rows()) < number and time.monotonic() < until:
            time.sleep(0.1)
        return rows

    def _rows(self) -> list[Row]:
        names = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
        with closing(sqlite3.connect(f"file:{self.data / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
            ledger.row_factory = sqlite3.Row
            found = ledger.execute("SELECT * FROM usage ORDER BY id").fetchall()
        facts = ("call_id", "request_id", "provider", "model", "cost_nano")
        return [
            Row(
                usage=Usage(
                    **{name: row[name] for name in names},
                    source=row["usage_source"],
                    written_for_1h=row["cache_write_1h_tokens"] or 0,
                ),
                **{name: row[name] for name in facts},
            )
            for row in found
        ]

    def usage(self) -> dict[str, Any]:
        """What `gateway usage` says of the tenant."""
        told: list[dict[str, Any]] = json.loads(_command(self.data, "usage", "--format", "json"))
        return next((each for each in told if each["tenant"] == TENANT), {})


def price(vendor: str, usage: Usage) -> int:
    """What a vendor bills for it, in nano-USD, rounded up once."""
    rates = {name: Decimal(rate) for name, rate in PRICES[vendor].items()}
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    spoken = usage.completion_tokens - usage.reasoning_tokens
    millionths = fresh * rates["input"] + usage.cached_tokens * rates["cached_input"]
    millionths += (usage.cache_write_tokens - usage.written_for_1h) * rates["cache_write"]
    millionths += usage.written_for_1h * rates.get("cache_write_1h", rates["cache_write"])
    millionths += spoken * rates["output"] + usage.reasoning_tokens * rates.get("reasoning", rates["output"])
    return int((millionths * (NANO_PER_USD // 10**6)).to_integral_value(ROUND_CEILING))


def vendors_name(model: str) -> str:
    """What a vendor calls a model: another name than clients do, and one that no catalogue knows a window of."""
    return f"agents-{model}"


def _settings(vendors: Sequence[Vendor]) -> dict[str, Any]:
    asked = {agent.native: agent.vendor for agent in AGENTS}
    return {
        "default_model": MODELS["openai"],
        "providers": {
            vendor.name: {"kind": vendor.name, "base_url": f"{vendor.url}/v1", "api_key": vendor.credential}
            for vendor in vendors
        },
        "models": {
            model: {
                "targets": [{"provider": vendor, "model": vendors_name(model)}],
                "price": PRICES[vendor],
                "max_output_tokens": _LONGEST,
            }
            for model, vendor in asked.items()
        },
    }


def _command(data: Path, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("gateway")), *arguments]
    environment = {"DATA_DIR": str(data), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=data, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise click.ClickException(f"gateway {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def serving(home: Path, vendors: Sequence[Vendor]) -> Iterator[Gateway]:
    """The gateway, working in `home`, which is made, in front of these vendors."""
    data = home / "data"
    data.mkdir(parents=True)
    (home / "gateway.yaml").write_text(json.dumps(_settings(vendors), indent=1))  # YAML too
    _command(data, "tenants", "create", TENANT)
    key = _command(data, "keys", "create", "--tenant", TENANT, "--name", "laptop")
    _command(data, "limits", "set", f"tenant:{TENANT}", "usd/month", "5", "--mode", "firm")
    port = free_port()
    environment = {
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "API_KEY": secrets.token_urlsafe(),
        "ADMIN_KEY": secrets.token_urlsafe(),
        "GATEWAY_CONFIG": str(home / "gateway.yaml"),
        "DATA_DIR": str(data),
        "LOG_FILE": str(home / "gateway.log"),
        "WEB_CONCURRENCY": str(_WORKERS),
        "DRAIN_DELAY": "0",
        "GRACEFUL_TIMEOUT": "5",
    }
    command = python("gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app")
    with running("gateway", command, home, tuple(AVAILABLE), environment, port) as server:
        _wait(server)
        yield Gateway(server.url, key, data)


def _wait(server: Server) -> None:
    until = time.monotonic() + _START_SECONDS
    while not _healthy(server.url) or len(children(server.process.pid)) < _WORKERS:
        if server.process.poll() is not None or time.monotonic() > until:
            raise click.ClickException(f"the gateway did not start:\n{server.output.read_text()[-4000:]}")
        time.sleep(0.05)


def _healthy(url: str) -> bool:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    with suppress(OSError, http.client.HTTPException), closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False
