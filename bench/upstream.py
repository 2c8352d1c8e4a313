"""A provider that costs next to nothing: every request gets the same chat completion, or stream, made beforehand."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from bench.framing import message_size

PIECES = 100  # of the answer's text, in a stream as delivered: an event each

_STREAMS = re.compile(rb'"stream": ?true')
_TEXT = "All work and no play. " * 22
_MESSAGE = {"role": "assistant", "content": _TEXT, "refusal": None}
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
_WHOLE = [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)]


def _stream(pieces: int) -> list[bytes]:
    """The same completion as a response of events, an HTTP chunk each, as OpenAI streams it; some 270 bytes each."""
    common = {**_COMPLETION, "object": "chat.completion.chunk"}
    del common["service_tier"]

    def event(delta: dict[str, Any] | None, finish_reason: str | None = None, usage: object = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        choices = [] if delta is None else [choice]
        body = {**common, "choices": choices, "usage": usage}
        return json.dumps(body, separators=(",", ":"))

    ends = [len(_TEXT) * number // pieces for number in range(pieces + 1)]
    events = [
        event({"role": "assistant", "content": "", "refusal": None}),
        *(event({"content": _TEXT[start:end]}) for start, end in pairwise(ends)),
        event({}, finish_reason="stop"),
        event(None, usage=_COMPLETION["usage"]),
        "[DONE]",
    ]
    chunks = [f"data: {each}\n\n".encode() for each in events]
    first, *others = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head + first, *others[:-1], others[-1] + b"0\r\n\r\n"]


class _Connection(asyncio.Protocol):
    """Answers one request after the other; pipelining is not catered for.

    Args:
        delay: seconds from the end of a request to its answer.
        pause: seconds between one event of a stream and the next; with none, a stream is written at once.
        stream: the pieces of the answer to a request for one.
    """

    def __init__(self, delay: float, pause: float, stream: list[bytes]) -> None:
        self._delay = delay
        self._pause = pause
        self._stream = stream
        self._received = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        size = message_size(self._received)
        if size is None or len(self._received) < size:
            return
        answer = self._stream if _STREAMS.search(self._received) else _WHOLE
        self._received.clear()
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._send, answer)
        else:
            self._send(answer)

    def _send(self, pieces: Sequence[bytes], number: int = 0) -> None:
        """Write the piece of this number now, and the next one after the pause."""
        self._transport.write(pieces[number])
        if number + 1 < len(pieces) and not self._transport.is_closing():
            asyncio.get_running_loop().call_later(self._pause, self._send, pieces, number + 1)


async def _serve(port: int, delay: float, pause: float, pieces: int) -> None:
    loop = asyncio.get_running_loop()
    stream = _stream(pieces) if pause else [b"".join(_stream(pieces))]
    server = await loop.create_server(lambda: _Connection(delay, pause, stream), "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


@click.command()
@click.option("--port", envvar="PORT", required=True, type=int)
@click.option("--delay", default=0.0, help="Seconds to wait before each answer.")
@click.option("--chunk-delay", default=0.0, help="And between the events of a stream.")
@click.option("--pieces", default=PIECES, type=click.IntRange(1), help="Of a stream's text.")
def main(port: int, delay: float, chunk_delay: float, pieces: int) -> None:
    """Answer on 127.0.0.1 until a signal ends it."""
    asyncio.run(_serve(port, delay, chunk_delay, pieces))


if __name__ == "__main__":
    main()
