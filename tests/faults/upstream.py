"""A provider in a process of its own, which no kill of the gateway's touches.

It writes down what it bills, a line for each request, before it answers. What a call takes follows from the call's id
alone, or is fixed. Answers can be held open, so that calls stand still at once for as long as a test wants.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from tests.fakes.upstream import completion, response

CONTROL = "/control"
DEFAULT_CAP = 16  # tokens of an answer whose request has no cap
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_BACKLOG = 4096
_LONGEST_LINE = 65_536


@dataclass(frozen=True)
class Line:
    """What the record says of one request: whose it is, and what is billed for it; nothing is for one that fails."""

    call_id: str
    attempt: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    stream: bool


def billed(call_id: str, attempt: int, asked: Mapping[str, Any], fixed: tuple[int, int] | None, failing: int) -> Line:
    """What a call takes: never more prompt than there are bytes of it, never more answer than its cap. `failing` is how
    many first attempts of a hundred take nothing."""
    cap = asked.get("max_tokens") or asked.get("max_completion_tokens") or DEFAULT_CAP
    most = sum(len(message["content"].encode()) for message in asked["messages"])
    drawn = hashlib.sha256(f"{call_id}/{attempt}".encode()).digest()
    if attempt == 1 and drawn[18] % 100 < failing:
        return Line(call_id, attempt, 0, 0, 0, 0, bool(asked.get("stream")))
    prompt, answer = fixed or (1 + int.from_bytes(drawn[:8]) % most, 1 + int.from_bytes(drawn[8:16]) % cap)
    answer = min(answer, cap)
    cached, reasoning = (0, 0) if fixed else (drawn[16] % (prompt + 1), drawn[17] % answer)
    return Line(call_id, attempt, prompt, cached, answer, reasoning, bool(asked.get("stream")))


def read_record(file: Path) -> list[Line]:
    """Every line of a record."""
    return [Line(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def _remembering(line: Line, messages: list[dict[str, Any]], remembered: set[str]) -> Line:
    """A call with as many tokens as its messages have words, those cached that began an earlier one."""
    words = cached = 0
    for number, message in enumerate(messages, 1):
        words += len(message["content"].split())
        beginning = hashlib.sha256(json.dumps(messages[:number]).encode()).hexdigest()
        if beginning in remembered:
            cached = words
        remembered.add(beginning)
    return replace(line, prompt_tokens=words, cached_tokens=cached)


def _usage(line: Line) -> dict[str, Any]:
    return {
        "prompt_tokens": line.prompt_tokens,
        "completion_tokens": line.completion_tokens,
        "total_tokens": line.prompt_tokens + line.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": line.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": line.reasoning_tokens},
    }


def _events(line: Line, pieces: int) -> Iterator[bytes]:
    """The answer as HTTP chunks, an event each, the last one with the end of the body."""
    common = {"id": line.call_id, "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return _framed(json.dumps({**common, "choices": choices, **more}).encode())

    for number in range(pieces):
        yield chunk([{"index": 0, "delta": {"content": f"word {number} "}, "finish_reason": None}])
    yield chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    yield chunk([], usage=_usage(line))
    yield _framed(b"[DONE]") + b"0\r\n\r\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data)


class _Provider:
    """Answers on any number of connections.

    Args:
        record: the file of lines.
        fixed: prompt and completion tokens of every call, or None.
        latency: seconds before an answer.
        failing: of a hundred calls, so many fail at first.
        pieces: events of a stream that have text.
        pause: seconds after each of them.
        remembers: prompts are cached, as vendors do.
    """

    def __init__(
        self,
        record: Path,
        fixed: tuple[int, int] | None,
        latency: float,
        failing: int,
        pieces: int,
        pause: float,
        remembers: bool,
    ) -> None:
        self._record = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._fixed, self._latency, self._failing, self._pieces, self._pause = fixed, latency, failing, pieces, pause
        self._open = asyncio.Event()
        self._open.set()
        self._under_way = self._most = 0
        self._fails = False
        self._asked: list[float] = []
        self._remembered: set[str] | None = set() if remembers else None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):  # the gateway is gone: it was killed, or has enough
            while line := await reader.readline():
                path, headers = line.split()[1].decode(), {}
                while (header := (await reader.readline()).strip()) != b"":
                    name, _, value = header.decode("latin-1").partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if path == CONTROL:
                    writer.write(response(json.dumps(self._controlled(json.loads(body or b"{}"))).encode()))
                else:
                    await self._answer(headers, json.loads(body), writer)
        writer.close()

    def _controlled(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        if wish.get("hold") is True:
            self._open.clear()
        elif wish.get("hold") is False:
            self._open.set()
        self._fails = wish.get("fail", self._fails)
        told = {"under_way": self._under_way, "most": self._most, "asked": self._asked}
        self._most, self._asked = self._under_way, []
        return told

    async def _answer(self, headers: Mapping[str, str], asked: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        self._asked.append(time.monotonic())
        if self._fails:
            writer.write(response(b'{"error": {"message": "Not now."}}', status=503))
            return
        line = billed(headers["x-request-id"], int(headers["x-gateway-attempt"]), asked, self._fixed, self._failing)
        if self._remembered is not None:
            line = _remembering(line, asked["messages"], self._remembered)
        os.write(self._record, json.dumps(asdict(line)).encode() + b"\n")
        self._under_way += 1
        self._most = max(self._most, self._under_way)
        try:
            await asyncio.sleep(self._latency)
            if not line.prompt_tokens:
                writer.write(response(b'{"error": {"message": "Try another."}}', status=503))
            elif line.stream:
                await self._stream(line, writer)
            else:
                await self._open.wait()
                writer.write(response(json.dumps(completion("Hello", usage=_usage(line))).encode()))
                await writer.drain()
        finally:
            self._under_way -= 1

    async def _stream(self, line: Line, writer: asyncio.StreamWriter) -> None:
        """Send a stream; one that is held open has begun."""
        writer.write(_STREAM)
        for number, event in enumerate(_events(line, self._pieces)):
            if number:
                await asyncio.sleep(self._pause)
                await self._open.wait()
            writer.write(event)
            await writer.drain()


async def _serve(provider: _Provider, port: int) -> None:
    server = await asyncio.start_server(provider.serve, "127.0.0.1", port, backlog=_BACKLOG, limit=_LONGEST_LINE)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@click.command()
@click.option("--port", default=0, help="0 is any free one; it is printed in any case.")
@click.option("--record", required=True, type=click.Path(path_type=Path))
@click.option("--usage", nargs=2, type=int, default=None, help="Prompt and completion tokens of every call.")
@click.option("--latency-ms", default=5.0)
@click.option("--failing", default=0, help="Of a hundred calls, so many fail at first.")
@click.option("--pieces", default=8, help="Events of a stream that have text.")
@click.option("--pause-ms", default=10.0, help="After each of them.")
@click.option("--remembers", is_flag=True, help="Prompts are cached, as vendors do.")
def main(
    port: int,
    record: Path,
    usage: tuple[int, int] | None,
    latency_ms: float,
    failing: int,
    pieces: int,
    pause_ms: float,
    remembers: bool,
) -> None:
    """Answer on 127.0.0.1 until a signal ends it."""

    async def run() -> None:
        provider = _Provider(record, usage, latency_ms / 1000, failing, pieces, pause_ms / 1000, remembers)
        await _serve(provider, port)

    asyncio.run(run())


if __name__ == "__main__":
    main()
