"""Clients that do not wait for each other: requests come at a rate, whatever becomes of those before."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

_SILENCE = 60.0  # seconds after which a client gives up


@dataclass(frozen=True, slots=True)
class Met:
    """What became of a request: its status, 0 for none, its Retry-After, and when it was sent and answered."""

    status: int
    retry_after: int | None
    sent: float
    answered: float

    @property
    def seconds(self) -> float:
        return self.answered - self.sent


class Loop(ABC):
    """Requests in a thread beside the test.

    Args:
        port: the gateway's.
        key: what they show.
        model: what they ask for.
        load: how much of it; requests in a second, or clients.
        seconds: how long.
    """

    headers = ""  # of each request, besides those that it needs

    def __init__(self, port: int, key: str, model: str, load: float, seconds: float) -> None:
        self._port = port
        body = json.dumps({"prompt": "Hello", "user_id": "ann", "model": model})
        head = f"POST /inference HTTP/1.1\r\nhost: x\r\n{self.headers}x-api-key: {key}\r\n"
        self._request = f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
        self._met: list[Met] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(load, seconds)))
        self._thread.start()

    def join(self) -> list[Met]:
        """Wait for all answers."""
        self._thread.join()
        return self._met

    @abstractmethod
    async def _run(self, load: float, seconds: float) -> None:
        """Make the requests, and wait for their answers."""


class OpenLoop(Loop):
    """Requests at a rate, each on a connection of its own."""

    headers = "connection: close\r\n"

    async def _run(self, load: float, seconds: float) -> None:
        began, calls = time.monotonic(), []
        while (now := time.monotonic() - began) < seconds:
            calls += [asyncio.create_task(self._ask()) for _ in range(int(now * load) + 1 - len(calls))]
            await asyncio.sleep(min(0.005, 1 / load))
        await asyncio.gather(*calls)

    async def _ask(self) -> None:
        sent, head = time.monotonic(), b""
        try:
            async with asyncio.timeout(_SILENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(self._request)
                head = (await reader.read()).partition(b"\r\n\r\n")[0].lower()
                writer.close()
        except (OSError, TimeoutError):
            pass  # no answer
        wait = head.partition(b"retry-after: ")[2].partition(b"\r\n")[0]
        self._met.append(Met(int(head[9:12] or 0), int(wait) if wait else None, sent, time.monotonic()))


def percentile(seconds: list[float], share: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(share * len(seconds)))]
