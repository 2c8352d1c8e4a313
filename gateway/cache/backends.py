"""The two backends of Flask-Caching, named to it by their dotted paths. Both hold plain bytes.

Reading and writing raise StoreError; what to do about it is for `responses` to say.
"""

from __future__ import annotations

import struct
import time
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from flask import Flask
from flask_caching.backends.base import BaseCache

from gateway.config import Secret
from gateway.stores.embedded import Environment, Full, Transaction, open_environment
from gateway.stores.redis import RedisServer

PATIENCE = 0.05  # seconds that any operation may take
LARGEST = 2**20  # bytes of a value; a larger one is not kept

_MAP = 2**30  # bytes of addresses: far more than is used, since a full map could not even be emptied
_BUDGET = 100 * 2**20  # bytes of entries by our reckoning; on pages that are half full they take twice as much
_PAGE, _KEYS = 4096, 256
_EXPIRY = struct.Struct(">Q")  # milliseconds of the boot's monotonic clock, which nobody can set
_MOST_SWEPT = 100  # expired entries that one writer clears away
_PREFIX = "llm-gateway:cache:"


class EmbeddedCache(BaseCache):
    """All workers of a host on one LMDB environment. Where there is no room, what would expire first goes first.

    Args:
        data_dir: the directory of all embedded state.
    """

    def __init__(self, data_dir: Path) -> None:
        super().__init__()
        self._data_dir = data_dir

    @classmethod
    def factory(cls, app: Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> EmbeddedCache:
        return cls(config["CACHE_DIR"])

    def get(self, key: str) -> bytes | None:
        env = self._env
        found = env.read(lambda transaction: transaction.get(key.encode(), db=env.databases["entries"]))
        if found is None or bytes(found[: _EXPIRY.size]) <= _EXPIRY.pack(_milliseconds()):
            return None
        return bytes(found[_EXPIRY.size :])

    def set(self, key: str, value: bytes, timeout: int | timedelta | None = None) -> bool:
        """Keep `value` for `timeout` seconds; False where it is too large to be kept."""
        if len(value) > LARGEST:
            return False
        env, key_, entry = self._env, key.encode(), self._expiry(timeout) + value
        try:
            env.write(lambda transaction: _put(transaction, env.databases, key_, entry))
        except Full:  # by our reckoning it is not: its free pages are scattered
            for _ in range(2):  # what one transaction frees, the next but one may use
                env.write(lambda transaction: _empty(transaction, env.databases))
            env.write(lambda transaction: _put(transaction, env.databases, key_, entry))
        return True

    def _expiry(self, timeout: int | timedelta | None) -> bytes:
        return _EXPIRY.pack(_milliseconds() + 1000 * self._normalize_timeout(timeout))

    @cached_property
    def _env(self) -> Environment:
        """Opened in the worker, when first needed: an environment does not survive a fork."""
        return open_environment(self._data_dir, "cache", _MAP, ("entries", "expiry", "size"), PATIENCE)


def _put(transaction: Transaction, databases: dict[str, Any], key: bytes, entry: bytes) -> None:
    """Write the entry, after making room for it."""
    entries, expiry = databases["entries"], databases["expiry"]
    size = int.from_bytes(transaction.get(b"bytes", b"", db=databases["size"]))
    replaced = transaction.pop(key, db=entries)
    if replaced:
        transaction.delete(bytes(replaced[: _EXPIRY.size]) + key, db=expiry)
        size -= _room(replaced)
    now, swept, first = _EXPIRY.pack(_milliseconds()), 0, transaction.cursor(db=expiry)
    while first.first():
        row = bytes(first.key())
        if size + _room(entry) <= _BUDGET and (row[: _EXPIRY.size] > now or swept == _MOST_SWEPT):
            break
        transaction.delete(row, db=expiry)
        size -= _room(transaction.pop(row[_EXPIRY.size :], db=entries) or b"")
        swept += 1
    transaction.put(key, entry, db=entries)
    transaction.put(entry[: _EXPIRY.size] + key, b"", db=expiry)
    transaction.put(b"bytes", (size + _room(entry)).to_bytes(8), db=databases["size"])


def _room(entry: bytes | memoryview) -> int:
    """The bytes that an entry takes, with its two keys and LMDB's headers; a large one has pages of its own."""
    large = len(entry) > _PAGE // 2 - _KEYS
    return (-(-len(entry) // _PAGE) * _PAGE + _PAGE if large else len(entry)) + _KEYS


def _empty(transaction: Transaction, databases: dict[str, Any]) -> None:
    for database in databases.values():
        transaction.drop(database, delete=False)
    transaction.put(b"bytes", bytes(8), db=databases["size"])


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000


class RedisCache(BaseCache):
    """All workers of all hosts on one Redis, which forgets by itself.

    Args:
        url: where it is.
    """

    def __init__(self, url: Secret) -> None:
        super().__init__()
        self._server = RedisServer(url.reveal(), PATIENCE)

    @classmethod
    def factory(cls, app: Flask, config: dict[str, Any], args: list[Any], kwargs: dict[str, Any]) -> RedisCache:
        return cls(config["CACHE_REDIS_URL"])

    def get(self, key: str) -> bytes | None:
        found = self._server.run(lambda client: client.get(_PREFIX + key))
        return found if isinstance(found, bytes) else None

    def set(self, key: str, value: bytes, timeout: int | timedelta | None = None) -> bool:
        """Keep `value` for `timeout` seconds; False where it is too large to be kept."""
        if len(value) > LARGEST:
            return False
        self._server.run(lambda client: client.set(_PREFIX + key, value, ex=self._normalize_timeout(timeout)))
        return True
