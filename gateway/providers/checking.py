"""Whether a provider is there, and accepts each of the gateway's credentials."""

from __future__ import annotations

import time

import orjson

from gateway.providers.base import Report, failure
from gateway.providers.connection import Deadlines
from gateway.providers.http import Transport

CHECK_SECONDS = 10


def check(transport: Transport, path: str, provider: str, connect: float, keys: int) -> Report:
    """Ask for the list of models, with each credential.

    Args:
        transport: the way to it.
        path: of the list.
        provider: its name, for messages.
        connect: seconds for the connection.
        keys: how many credentials there are; 1 where none is needed.

    Raises:
        GatewayError: it is not there, or does not accept one of them.
    """
    for key in range(keys):
        reply = transport.send(path, None, {}, Deadlines(connect, time.monotonic() + CHECK_SECONDS), key)
        body = reply.read()
        if reply.status == 404:
            return Report("answers, but has no list of models; if calls fail too, its base_url may lack '/v1'")
        if not 200 <= reply.status < 300:
            error = failure(provider, reply.status, body)
            if keys > 1:
                error.detail = f"key {key + 1} of {keys}: {error.detail or reply.status}"
            raise error
    return Report("answers" if keys == 1 else f"answers to all {keys} keys", _listed(body))


def _listed(body: bytes) -> frozenset[str] | None:
    """The ids in a list of models, which Together sends without the object around it, and Gemini under other names."""
    try:
        answer = orjson.loads(body)
        if isinstance(answer, dict) and "models" in answer:
            return frozenset(entry["name"].removeprefix("models/") for entry in answer["models"])
        entries = answer["data"] if isinstance(answer, dict) else answer
        return frozenset(entry["id"] for entry in entries)
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None
