"""Clients of a gateway that may die under them, and what each of them knows of its call: ok, fail or unknown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests.conftest import KEY

USERS = ("ann", "bob", "poor")
_SILENCE = 300.0  # seconds after which a client gives up
_CONNECTING = 200  # connections that are made at once
_SPACES = 20  # at the end of every body
_WITHOUT_AN_ANSWER = 0.05  # seconds before the next call
_SIGN_OF_LIFE = 3.0  # seconds between two of them
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *([0-9]+)", re.IGNORECASE)
_MODEL = re.compile(rb"\r\nx-gateway-model: *([^\r]+)", re.IGNORECASE)
_CHUNK_SIZES = re.compile(rb"(?:^|\r\n)[0-9a-f]+\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Call:
    """One call as its client saw it.

    Attributes:
        outcome: `ok` is a whole answer, `fail` a whole refusal, an error event or no connection; whatever else there is
            leaves it `unknown` whether anything was bought.
        told: prompt and completion tokens, as the answer has them.
        error: the error's body.
        cached: nothing was bought for it.
        model: who answered.
        retry_after: seconds after which the client is to try again, if it was told.
        began, seconds: when it began, by the monotonic clock, and how long it took.
    """

    request_id: str
    outcome: str = "unknown"
    status: int = 0
    told: tuple[int, int] | None = None
    error: dict[str, Any] = field(default_factory=dict)
    cached: bool = False
    model: str = ""
    retry_after: int | None = None
    began: float = 0.0
    seconds: float = 0.0


def request(path: str, body: dict[str, Any], request_id: str, *headers: str, key: str = KEY) -> bytes:
    """The bytes of a request, after whose answer the connection is closed; its body ends in spaces."""
    data = json.dumps(body).encode() + b" " * _SPACES
    lines = [f"POST {path} HTTP/1.1", "host: gateway", f"x-api-key: {key}", "content-type: application/json"]
    lines += [f"content-length: {len(data)}", f"x-request-id: {request_id}", "connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + data


def drawn_request(chance: random.Random, request_id: str, key: str = KEY) -> bytes:
    """Any of both dialects, whole or streamed; a few that the cache may answer."""
    stream, user, most = chance.random() < 0.5, chance.choice(USERS), chance.randint(1, 200)
    kept = chance.random() < 0.2
    text = f"{request_id} " * chance.randint(1, 20)
    headers = ["cache-control: no-store"]
    if kept:
        text, most, headers = f"again {chance.randint(1, 3)}", 50, []
    if chance.random() < 0.5:
        body = {"prompt": text, "user_id": user, "max_tokens": most, "stream": stream}
        return request("/inference", body, request_id, *headers, key=key)
    body = {"messages": [{"role": "user", "content": text}], "user": user, "max_tokens": most, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    return request("/v1/chat/completions", body, request_id, *headers, key=key)


async def ask(port: int, call: Call, data: bytes, together: _Together | None = None) -> Call:
    """Make a call, or make it together with others."""
    call.began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        call.outcome = "fail"
        return call
    try:
        writer.write(await together.begin(writer, data) if together else data)
        answer = await asyncio.wait_for(reader.read(-1), _SILENCE)
        _understand(call, answer)
    except (OSError, TimeoutError):
        pass  # it stays unknown
    finally:
        writer.close()
        call.seconds = time.monotonic() - call.began
    return call


def _understand(call: Call, answer: bytes) -> None:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return
    call.status, call.cached = int(head.split()[1]), b"x-gateway-cache: hit" in head.lower()
    call.model = named[1].decode() if (named := _MODEL.search(head)) else ""
    length, wait = _LENGTH.search(head), _RETRY_AFTER.search(head)
    call.retry_after = int(wait[1]) if wait else None
    if length and len(body) == int(length[1]):
        said = json.loads(body)
        call.outcome = "ok" if call.status == 200 else "fail"
        _note(call, said)
    elif not length:
        events = [event[6:] for event in _CHUNK_SIZES.sub(b"", body).split(b"\n\n") if event.startswith(b"data: ")]
        for event in events:
            if event != b"[DONE]":
                _note(call, json.loads(event))
        if b"data: [DONE]\n\n" in body and body.endswith(b"0\r\n\r\n"):
            call.outcome = "ok"
        elif call.error:
            call.outcome = "fail"


def _note(call: Call, said: dict[str, Any]) -> None:
    call.error = said.get("error") or call.error
    usage = said.get("usage") or said
    if "prompt_tokens" in usage:
        call.told = usage["prompt_tokens"], usage["completion_tokens"]


class _Together:
    """Sends requests all at once: of each, all but spaces at its end goes ahead, and the last of these when the last of
    the others is as far. One now and then keeps the gateway from giving the body up.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.connecting = asyncio.Semaphore(_CONNECTING)
        self._missing = count
        self._complete = asyncio.Event()

    async def begin(self, writer: asyncio.StreamWriter, data: bytes) -> bytes:
        """Send the beginning and wait for the others; what is left to be sent."""
        writer.write(data[:-_SPACES])
        self.connecting.release()
        self._missing -= 1
        if not self._missing:
            self._complete.set()
        left = _SPACES
        while not self._complete.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._complete.wait(), _SIGN_OF_LIFE)
                break
            writer.write(b" ")
            left -= 1
        return b" " * left


class _InAThread:
    """Runs clients beside the test."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.calls: list[Call] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        raise NotImplementedError

    def outcomes(self) -> Counter[str]:
        return Counter(call.outcome for call in list(self.calls))


class Load(_InAThread):
    """So many clients, each of which makes one call after the other until the block ends.

    Args:
        port: the gateway's.
        clients: how many.
        seed: of what they ask.
        key: whose calls they are.
        pause: seconds after each call.
    """

    def __init__(self, port: int, clients: int, seed: int, key: str = KEY, pause: float = 0.0) -> None:
        super().__init__(port)
        self._pause = pause
        self._key = key
        self._clients = clients
        self._seed = seed
        self._stopped = False

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, number: int) -> None:
        chance, count = random.Random(f"{self._seed}/{number}"), 0
        while not self._stopped:
            count += 1
            name = f"{self._seed}-{self.port}-{number}-{count}"
            call = await ask(self.port, Call(name), drawn_request(chance, name, self._key))
            self.calls.append(call)
            await asyncio.sleep(self._pause if call.status else max(self._pause, _WITHOUT_AN_ANSWER))


class Burst(_InAThread):
    """Calls that are sent all at once.

    Args:
        port: the gateway's.
        requests: what to send.
    """

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        super().__init__(port)
        self._requests = requests
        self._thread.start()

    def join(self) -> list[Call]:
        """Wait for the last answer."""
        self._thread.join()
        return self.calls

    async def _run(self) -> None:
        together = _Together(len(self._requests))

        async def one(number: int, data: bytes) -> None:
            await together.connecting.acquire()
            self.calls.append(await ask(self.port, Call(str(number)), data, together))

        await asyncio.gather(*(one(number, data) for number, data in enumerate(self._requests)))
