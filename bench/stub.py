"""A provider without sockets, for the guard: what a call costs from the server to the provider's adapter, and back.

Its answers are its own, and not those of `bench.upstream`: the guard's stored figures rest on them.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

PIECES = 100  # of the answer's text, in a stream: an event each

_TEXT = "All work and no play"
_COMMON = {"id": "chatcmpl-0123456789abcdef01234567", "created": 1764547200, "model": "gpt-4o-mini-2024-07-18"}
_USAGE = {"prompt_tokens": 20, "completion_tokens": PIECES, "total_tokens": 20 + PIECES}


def _whole() -> bytes:
    message = {"role": "assistant", "content": " ".join([_TEXT] * 22), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()


def _events() -> list[bytes]:
    def event(delta: dict[str, Any] | None, finish_reason: str | None = None, usage: object = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        choices = [] if delta is None else [choice]
        body = {**_COMMON, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
        return f"data: {json.dumps(body, separators=(',', ':'))}\n\n".encode()

    return [
        event({"role": "assistant", "content": "", "refusal": None}),
        *[event({"content": " play"})] * PIECES,
        event({}, finish_reason="stop"),
        event(None, usage=_USAGE),
        b"data: [DONE]\n\n",
    ]


_WHOLE, _EVENTS = [_whole()], _events()


class StubReply:
    """What `gateway.providers.http.Reply` is to its users; every event of a stream arrives by itself."""

    status = 200

    def __init__(self, streams: bool) -> None:
        media_type = "text/event-stream; charset=utf-8" if streams else "application/json"
        self.headers: Mapping[str, str] = {"content-type": media_type, "x-request-id": "req_0123456789abcdef"}
        self._arrivals = _EVENTS if streams else _WHOLE

    def arrivals(self, heartbeat: float = float("inf"), most_bytes: int | None = None) -> Generator[bytes]:
        yield from self._arrivals

    def read(self, most_bytes: int | None = None) -> bytes:
        return b"".join(self._arrivals)

    def finish(self, patience: float) -> None:
        """All of it has arrived."""

    def drain(self) -> None:
        """Nobody leaves."""

    def close(self) -> None:
        """There is no connection."""


def send(transport: object, path: str, body: bytes, headers: Mapping[str, str], *rest: object) -> StubReply:
    """What stands for `gateway.providers.http.Transport.send`."""
    return StubReply(streams="event-stream" in headers.get("accept", ""))
