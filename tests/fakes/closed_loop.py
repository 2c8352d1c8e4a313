"""Clients each of which asks again as soon as it is answered, whatever the answer: what a service can do, or a flood."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time

from tests.fakes.open_loop import Loop, Met

_SILENCE = 60.0  # seconds after which a client gives up
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_BETWEEN = 0.01  # seconds before a client whose connection broke makes another


class ClosedLoop(Loop):
    """Clients, each with a connection that it keeps as long as it may."""

    async def _run(self, load: float, seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._client(until) for _ in range(int(load))))

    async def _client(self, until: float) -> None:
        while time.monotonic() < until:
            sent = time.monotonic()
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + _SILENCE + until - sent):
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    with contextlib.closing(writer):
                        while (sent := time.monotonic()) < until and await self._ask(reader, writer, sent):
                            pass
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                self._met.append(Met(0, None, sent, time.monotonic()))
                await asyncio.sleep(_BETWEEN)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: float) -> bool:
        """Make a call; whether the connection stays open."""
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        self._met.append(Met(int(head[9:12]), None, sent, time.monotonic()))
        return b"\r\nconnection: close" not in head.lower()
