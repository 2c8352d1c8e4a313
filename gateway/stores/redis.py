"""Redis, for several hosts: no retries and short deadlines, since a slow server is worse than a dead one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha1
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from gateway.concurrency import Expired, cooperative, within
from gateway.stores import StoreError

T = TypeVar("T")

_MOST = 10_000  # connections: calls that come all at once are no failure
_NEVER = 60.0  # seconds: `within` ends what takes longer much earlier


class RedisServer:
    """One server, and the pool of connections to it.

    Args:
        url: `redis://`, `rediss://` or `unix://`, with the password if there is one.
        seconds: how long an operation may take.

    Raises:
        StoreError: the address cannot be used; nothing of it is told.
    """

    def __init__(self, url: str, seconds: float) -> None:
        self._seconds = seconds
        of_sockets = _NEVER if cooperative() else seconds
        try:
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=of_sockets,
                socket_connect_timeout=of_sockets,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
                max_connections=_MOST,
            )
            pool = self._client.connection_pool
            pool.connection_class(**pool.connection_kwargs)  # not opened, but its options are looked at
        except (ValueError, TypeError, redis.RedisError):  # which show the address, or parts of it
            raise StoreError("Redis: REDIS_URL has an option that is unknown or misspelt") from None

    def run(self, work: Callable[[redis.Redis], T]) -> T:
        """Do `work` with the client.

        Raises:
            StoreError: the server is down, slow or does not want to; nothing of the address is told.
        """
        try:
            return within(self._seconds, lambda: work(self._client))
        except Expired:
            raise StoreError(f"Redis did not answer within {self._seconds * 1000:.0f} ms") from None
        except (redis.RedisError, OSError) as error:
            raise StoreError(f"Redis: {type(error).__name__}") from error


def evaluate(client: redis.Redis, script: str, keys: Sequence[str], arguments: Sequence[bytes | str | int] = ()) -> Any:
    """What a script answers, in one round trip unless Redis has to learn it first. Raises what the client raises."""
    try:
        return client.evalsha(_hash(script), len(keys), *keys, *arguments)
    except NoScriptError:
        return client.evalsha(client.script_load(script), len(keys), *keys, *arguments)


@cache
def _hash(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
