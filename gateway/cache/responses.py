"""The response cache as a request meets it: it may only ever help, so whatever goes wrong with it is a miss."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

from flask import Flask
from flask_caching import Cache

from gateway.cache import backends, entries
from gateway.cache.keys import key_of
from gateway.config import Secret
from gateway.model import Answer, CachePolicy, ModelRequest, Operation
from gateway.stores import StoreError

log = logging.getLogger(__name__)
T = TypeVar("T")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds without a failing store; doubled by every failure in a row


class Backend(Protocol):
    """What is asked of a backend of Flask-Caching."""

    def get(self, key: str) -> bytes | None: ...

    def set(self, key: str, value: bytes, timeout: int) -> bool: ...


def backend(app: Flask, data_dir: Path, redis_url: Secret | None) -> Backend:
    """Flask-Caching's backend for these settings: Redis where there is a URL, else the embedded one.

    Args:
        app: the application that the cache belongs to.
        data_dir: the directory of embedded state.
        redis_url: where Redis is, or None.
    """
    kind = backends.RedisCache if redis_url else backends.EmbeddedCache
    path = f"{kind.__module__}.{kind.__qualname__}"
    cache = Cache(app, config={"CACHE_TYPE": path, "CACHE_DIR": data_dir, "CACHE_REDIS_URL": redis_url})
    with app.app_context():
        return cast(Backend, cache.cache)


class ResponseCache:
    """Finds and keeps answers.

    Args:
        backend: where they are kept.
        ttl: seconds for which an answer may be given again; 0 keeps none.
        failed: is told of every failure.
        state: is told whether the store works.
    """

    def __init__(self, backend: Backend, ttl: int, failed: Callable[[], None], state: Callable[[bool], None]) -> None:
        self._backend = backend
        self._ttl = ttl
        self._failed = failed
        self._state = state
        self._pause = 0.0  # 0 while the store works
        self._next_try = 0.0

    def slot(self, tenant: str, targets: Iterable[str], request: ModelRequest, policy: CachePolicy) -> Slot:
        """The place of the answer to `request`.

        Args:
            tenant: who pays.
            targets: everything that may answer.
            request: what is asked.
            policy: what the client allows.
        """
        if not self._ttl:
            policy = CachePolicy(read=False, store=False)
        key = key_of(tenant, targets, request) if policy.read or policy.store else ""
        return Slot(self, key, policy, request)

    def get(self, key: str) -> Answer | None:
        entry = self._try(lambda: self._backend.get(key))
        try:
            return entries.decode(key, entry) if entry is not None else None
        except entries.Corrupt:
            log.warning("an entry of the response cache is corrupt; the next answer replaces it")
            self._failed()
            return None

    def put(self, key: str, operation: Operation, answer: Answer) -> None:
        self._try(lambda: self._backend.set(key, entries.encode(key, operation, answer), self._ttl))

    def _try(self, work: Callable[[], T]) -> T | None:
        """Do `work` unless the store has failed lately; while it fails, only one request at a time finds out again."""
        now = time.monotonic()
        if now < self._next_try:
            return None
        if self._pause:
            self._next_try = now + self._pause
        try:
            result = work()
        except StoreError as error:
            if not self._pause:
                log.warning("the response cache does not work, going on without it: %s", error)
            self._pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 2 * self._pause))
            self._next_try = time.monotonic() + self._pause
            self._failed()
            self._state(False)
            return None
        if self._pause:
            log.info("the response cache works again")
            self._pause = self._next_try = 0.0
            self._state(True)
        return result


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the answer to one request is kept, or would be.

    Attributes:
        policy: what the client and the settings allow together.
    """

    cache: ResponseCache
    key: str
    policy: CachePolicy
    request: ModelRequest

    def get(self) -> Answer | None:
        """The kept answer, or None where there is none or it must not be used."""
        return self.cache.get(self.key) if self.policy.read else None

    def put(self, answer: Answer) -> None:
        """Keep `answer`, if it may be kept."""
        completion = answer.completion
        all_came = len(completion.finish_reasons) >= self.request.choices
        if self.policy.store and all_came and entries.may_be_kept(completion):
            self.cache.put(self.key, self.request.operation, answer)
