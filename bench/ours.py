"""Our gateway as it runs in production: virtual keys, a limit of each kind, a ledger, metrics and a log."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

from bench.servers import ROOT, Cores, Server, free_port, python, running
from gateway.accounting import reports
from gateway.config.secrets import Secret
from gateway.policy import keys
from gateway.stores.ledger import Database, Operation, Transaction
from gateway.stores.ledger.opening import open_ledger

NAME = "ours"
_BATCH = 500  # keys of one transaction
_AMPLE = {"requests": "1000000000", "tokens": "1000000000000", "concurrency": "100000", "usd": "1000000"}
_RATES = ("requests/minute", "tokens/minute", "concurrency", "usd/day")  # one of every unit
_PERIODS = ("second", "minute", "hour", "day", "week", "month", "total")


def limits(number: int, key_id: str) -> list[tuple[str, str]]:
    """So many limits that bear on each call of the key, as subject and rate; the first four are one of every unit."""
    subjects = (f"key:{key_id}", "tenant:default", "global", "model:gpt-4o-mini", "user:*@default")
    rates = [f"{unit}/{period}" for period, unit in product(_PERIODS, ("requests", "tokens", "usd"))]
    others = (each for each in product(subjects, rates) if each not in set(product(subjects[:1], _RATES)))
    first = list(product(subjects[:1], _RATES))
    return [*first, *islice(others, max(0, number - len(first)))][:number]


def fill(database: Database, number: int = 1, each: int = len(_RATES)) -> list[str]:
    """Make a ledger's tables and so many keys with that many limits each; their credentials."""
    database.prepare()

    def one(tx: Transaction) -> str:
        credential = keys.create_key(tx, "default", time.time_ns() // 10**6)
        for subject, rate in limits(each, credential.split("_")[1]):
            reports.set_limit(tx, subject, rate, _AMPLE[rate.partition("/")[0]], None)
        return credential

    credentials: list[str] = []
    for begun in range(0, number, _BATCH):
        operations: list[Operation] = [one] * min(_BATCH, number - begun)
        credentials += [outcome.result for outcome in database.transact(operations)]
    return credentials


def ledger(data_dir: Path, database_url: str | None = None) -> Database:
    return open_ledger(Secret(database_url) if database_url else None, data_dir)[0]


@contextlib.contextmanager
def gateway(
    home: Path,
    cores: Cores,
    upstream: Server,
    workers: int = 1,
    name: str = NAME,
    credential: str = "",
    **variables: str,
) -> Iterator[Server]:
    """The gateway, working in `home`, which is made.

    Args:
        credential: a virtual key that its ledger has; without, it gets one of its own with a limit of every unit.
        variables: what else to set in its environment.
    """
    home.mkdir()
    data = Path(variables.get("DATA_DIR", home / "data"))
    if not credential:
        database = ledger(data, variables.get("DATABASE_URL"))
        credential = fill(database)[0]
        database.close()
    port = free_port()
    environment = {
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "API_KEY": secrets.token_urlsafe(),
        "MODEL_NAME": "openai/gpt-4o-mini",
        "OPENAI_API_KEY": secrets.token_urlsafe(),
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
        "DATA_DIR": str(data),
        "LOG_FILE": str(home / "gateway.log"),
        "WEB_CONCURRENCY": str(workers),
        "DRAIN_DELAY": "0",  # no load balancer has to notice the stop
        "GRACEFUL_TIMEOUT": "5",
        **variables,
    }
    command = python("gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "wsgi:app")
    headers = {"authorization": f"Bearer {credential}"}
    model = "openai/gpt-4o-mini"
    with running(
        name, command, home, cores.gateway, environment, port, headers=headers, model=model, workers=workers
    ) as it:
        yield it
