"""A provider that costs next to nothing: every request gets the same chat completion, made beforehand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from bench.framing import message_size

_MESSAGE = {"role": "assistant", "content": "All work and no play. " * 22, "refusal": None}
_COMPLETION = {
    "id": "chatcmpl-0123456789abcdef01234567",
    "object": "chat.completion",
    "created": 1764547200,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": _MESSAGE, "logprobs": None, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 20,
        "completion_tokens": 100,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
    "system_fingerprint": "fp_0123456789",
}
_BODY = json.dumps(_COMPLETION).encode()
_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)


class _Connection(asyncio.Protocol):
    """Answers one request after the other, each `delay` seconds after its end; pipelining is not catered for."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        size = message_size(self._received)
        if size is None or len(self._received) < size:
            return
        self._received = b""
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, _RESPONSE)
        else:
            self._transport.write(_RESPONSE)


async def _serve(port: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(delay), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


@click.command()
@click.option("--port", envvar="PORT", required=True, type=int)
@click.option("--delay-ms", default=0.0, help="Wait before each answer.")
def main(port: int, delay_ms: float) -> None:
    """Answer on 127.0.0.1 until a signal ends it."""
    asyncio.run(_serve(port, delay_ms / 1000))


if __name__ == "__main__":
    main()
