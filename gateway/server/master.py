"""What Gunicorn's master does for its workers: it reads the configuration and loads what they inherit over fork.

A worker that cannot boot would stop the master, and so would an exception in `gunicorn.conf.py`. So only the master
reads files, on SIGHUP a broken one leaves the last good configuration in force, and workers never read any.
"""

from __future__ import annotations

import logging
import resource
import shlex
import socket
import sys
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry

from gateway.accounting import tokens
from gateway.app import create_app
from gateway.config import ConfigError, Settings, snapshot
from gateway.config.settings import SLOW_CLIENTS
from gateway.server.worker import ThreadWorker
from gateway.stores import StoreError
from gateway.stores.ledger import CONNECTIONS
from gateway.stores.ledger.opening import open_ledger
from gateway.telemetry import logs
from gateway.telemetry.metrics import degraded_counter

log = logging.getLogger(__name__)

_MOST_FILES = 65_536
_MOST_CONNECTIONS = 10_000
_OTHER_FILES = 32
_STALLED_MS = 60_000

_BODY = """-H 'content-type: application/json' -d '{"prompt": "Hello!", "user_id": "me"}'"""
_degraded = degraded_counter(CollectorRegistry())
_doubts: list[str] = []  # of the start, which are told as soon as there is a log


def settings() -> Settings:
    """Read the configuration, at start and on SIGHUP.

    Returns:
        The settings in force: the new ones, or on SIGHUP the last good ones.

    Raises:
        SystemExit: at start, with every mistake on standard error.
    """
    first = not snapshot.loaded()
    try:
        current = snapshot.reload(_build)
        if first:
            _prepare_ledger(current)
    except ConfigError as error:
        raise SystemExit("\n".join(error.mistakes)) from None
    except StoreError as error:
        raise SystemExit(f"{'DATABASE_URL' if current.database_url else 'DATA_DIR'}: {error}") from None
    if snapshot.reload_error:
        _degraded.labels("configuration").inc()
        log.error("not reloaded, the last good configuration stays in force: %s", snapshot.reload_error)
    elif not first:
        log.info("configuration reloaded")
        warn(current)
    return current


def _build(new: Settings) -> None:
    """Build what the workers will build, so that it fails here if at all."""
    try:
        create_app(new)
    except StoreError as error:  # an address that nobody can use; whether anything is there, the workers see
        raise ConfigError([str(error)]) from None
    logs.LineFormatter(new.secrets)


def _prepare_ledger(current: Settings) -> None:
    """Bring the ledger up to date, and see that all workers have room in it. Raises StoreError."""
    database, _ = open_ledger(current.database_url, current.data_dir)
    database.prepare()
    room, needed = database.room(), CONNECTIONS * current.workers
    if room is None or room >= 2 * needed:
        return
    said = (
        f"{current.workers} workers take {needed} connections, and during a reload {2 * needed}; it has {room} for us"
    )
    if room < needed:
        raise StoreError(f"{database.place}: {said}: lower WEB_CONCURRENCY, or raise its max_connections or our limits")
    _doubts.append(f"{database.place}: {said}: a reload may find too few")


def greet(server: Any) -> None:
    """Log what the operator should know and, where `make run` asks for it, print a curl line that works as pasted.

    Args:
        server: Gunicorn's arbiter, listening.
    """
    hang_up_on_stalled_readers(server.LISTENERS)
    current = snapshot.current()
    warn(current)
    for doubt in _doubts:
        log.warning("%s", doubt)
    if server.worker_class is ThreadWorker and SLOW_CLIENTS not in current.warnings:
        log.warning(SLOW_CLIENTS)
    if current.hint:
        print(hint(current, server.LISTENERS[0].getsockname()), file=sys.stderr, flush=True)


def warn(current: Settings) -> None:
    for warning in current.warnings:
        log.warning("%s", warning)
    if not tokens.load(current.tokenizer_dir).exact:
        log.warning(
            "No tokenizer files in %s: where a provider reports no usage, tokens are bytes / 4. 'make tokenizers' "
            "fetches them",
            current.tokenizer_dir,
        )


def hint(current: Settings, address: tuple[Any, ...]) -> str:
    """The text for a person in front of a terminal; it refers to the key and does not show it.

    Args:
        current: the settings in force.
        address: what the service listens on, as a socket says it.
    """
    host, port = address[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compares, binds nothing
        host = "127.0.0.1"
    if ":" in host:
        host = f"[{host}]"
    key = "$API_KEY"
    if current.key_file:
        key = f"$(sed -n 's/^API_KEY=[\"'\\'']*\\([^,\"'\\'']*\\).*/\\1/p' {shlex.quote(str(current.key_file))})"
    return f"""
The gateway listens on http://{host}:{port}; {current.default_model} answers where a request names no model. Try:

curl -sS 'http://{host}:{port}/inference' -H "x-api-key: {key}" {_BODY}

OpenAI's SDKs: base_url='http://{host}:{port}/v1', and the same key.
"""


def hang_up_on_stalled_readers(listeners: Iterable[Any]) -> None:
    """Have the kernel end connections whose other end takes nothing for a while: a write has no time-out otherwise,
    and anybody could hold them for ever. A slow reader is not stalled.

    Args:
        listeners: sockets; what they accept inherits the option.
    """
    for listener in listeners:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)


def most_connections() -> int:
    """Raise the soft limit of open files, and say how many connections a worker may then have.

    Each may need a second one, to a provider; what a worker holds besides is set aside.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, min(_MOST_CONNECTIONS, (max(soft, wanted) - _OTHER_FILES) // 2))
