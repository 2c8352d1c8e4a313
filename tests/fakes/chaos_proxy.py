"""A server on the way to another one, which does to connections what networks and dying servers do to them; in this
process, or in one of its own."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self

_BEAT = 0.05  # seconds between two pieces of what drips, unless a byte takes longer


@dataclass(frozen=True)
class Toxics:
    """What is done to connections.

    Attributes:
        delay: seconds by which everything is late, each way.
        drip: bytes of an answer a second.
        mute: nothing is passed on and nothing is closed, until this is lifted.
        cut: the connection ends after so many bytes of answers.
        reset: and whatever ends here, ends with a reset.
        down: connections are refused, and those that there are end.
        share: of the connections, to which all this is done but the last.
    """

    delay: float = 0.0
    drip: float = 0.0
    mute: bool = False
    cut: int | None = None
    reset: bool = False
    down: bool = False
    share: float = 1.0


class ChaosProxy:
    """Hands on what it is sent, in both directions.

    Args:
        port: of the other server, on this machine.
        seed: of the choice of connections where a share of them suffers.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        self._to = port
        self._chance = random.Random(seed)
        self._toxics = Toxics()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.port = 0  # any free one, and then always that

    def set(self, **toxics: Any) -> None:
        """Do this from now on, also to the connections that there are, and nothing else; see `Toxics`."""
        self._run(self._change(Toxics(**toxics)))

    def __enter__(self) -> Self:
        self._thread.start()
        self.set()
        return self

    def __exit__(self, *_: object) -> None:
        self.set(down=True, reset=self._toxics.reset)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, doing: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(doing, self._loop).result(10)

    async def _change(self, toxics: Toxics) -> None:
        self._toxics = toxics
        self._changed.set()
        self._changed = asyncio.Event()
        if toxics.down and self._server:
            for listener in self._server.sockets:
                self._loop.remove_reader(listener.fileno())
            await asyncio.sleep(0.01)  # a server that is closed asserts that none is being accepted
            self._server.close()
            self._server = None
            for link in self._links:
                link.cancel()
            await asyncio.gather(*self._links, return_exceptions=True)
            await asyncio.sleep(0)  # in which their sockets are closed
        elif not toxics.down and not self._server:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link
        self._links.add(link)
        luck, ends = self._chance.random(), [writer]
        try:
            if self._toxics.down:
                return  # it was accepted just before
            answers, onward = await asyncio.open_connection("127.0.0.1", self._to)
            ends.append(onward)
            ways = (self._pass(reader, onward, luck), self._pass(answers, writer, luck, of_answers=True))
            tasks = [asyncio.create_task(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the other server is not there, or this one is no more
        finally:
            self._links.discard(link)
            for end in ends:
                self._end(end, luck)

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, luck: float, of_answers: bool = False
    ) -> None:
        passed = 0
        while data := await source.read(65_536):
            await self._wait_while_mute(luck)
            toxics = self._suffered(luck)
            if toxics.delay:
                await asyncio.sleep(toxics.delay)
            cut = toxics.cut if of_answers else None
            piece = data if cut is None else data[: max(0, cut - passed)]
            await self._send(piece, target, toxics.drip if of_answers else 0.0)
            passed += len(piece)
            if cut is not None and passed >= cut:
                return
        await self._wait_while_mute(luck)

    async def _send(self, data: bytes, target: asyncio.StreamWriter, drip: float) -> None:
        step = max(1, round(drip * _BEAT)) if drip else max(1, len(data))
        for at in range(0, len(data), step):
            target.write(data[at : at + step])
            await target.drain()
            if drip:
                await asyncio.sleep(step / drip)

    async def _wait_while_mute(self, luck: float) -> None:
        while self._suffered(luck).mute or self._toxics.down:
            await self._changed.wait()

    def _suffered(self, luck: float) -> Toxics:
        """What is done to the connection that drew this."""
        return self._toxics if luck < self._toxics.share else Toxics()

    def _end(self, end: asyncio.StreamWriter, luck: float) -> None:
        if self._suffered(luck).reset:
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()
        end.close()


class ChaosProcess:
    """A chaos proxy that is never busy with anything else.

    Args:
        port: of the other server, on this machine.
        seed: as the proxy's.
    """

    def __init__(self, port: int, seed: int = 0) -> None:
        command = [sys.executable, "-m", __name__, str(port), str(seed)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def set(self, **toxics: Any) -> None:
        """As the proxy's."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(toxics), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline()  # it is in force

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)


def main(port: int, seed: int) -> None:
    """Print the port to use, and read what is to be done from standard input until it ends."""
    with ChaosProxy(port, seed) as proxy:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            proxy.set(**json.loads(line))
            print("set", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
