"""An upstream over a raw socket: it records what it is sent and answers whatever a test tells it to."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

Script = Callable[[socket.socket, "Received"], bool]


@dataclass(frozen=True)
class Received:
    """One request as it came: names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Upstream:
    """Listens on 127.0.0.1. `script(connection, request)` answers, and says whether the connection stays open."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.script: Script = answers(completion("Hello from upstream"))
        self.pause_before_reading = 0.0
        self.on_connect: Callable[[socket.socket], object] = lambda connection: None
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Upstream:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closed alone it would keep its thread waiting, which after a SIGCONT waits at whatever has its number by then.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """Close every connection from this side, as a server does with idle ones."""
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the other side was faster

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                self.on_connect(connection)
                time.sleep(self.pause_before_reading)
                while (request := _read(stream, number)) is not None:
                    self.received.append(request)
                    if not self.script(connection, request):
                        return
            except OSError:
                return  # the gateway hung up, which some scripts provoke


def _read(stream: Any, number: int) -> Received | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) < 3:
        return None
    headers = {}
    while (header := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return Received(line[0], line[1], headers, stream.read(int(headers.get("content-length", 0))), number)


def response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    """A whole HTTP response."""
    lines = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + body


def completion(text: Any, **changes: Any) -> dict[str, Any]:
    """A chat completion as OpenAI sends it; `changes` replace top-level fields, None removes one."""
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120},
    }
    answer.update(changes)
    return {name: value for name, value in answer.items() if value is not None}


def answers(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Script:
    """A script that answers every request alike and keeps the connection open."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(response(raw, status, headers))
        return True

    return script


def sending(pieces: Iterable[bytes], pause: float = 0, stay: bool = True) -> Script:
    """Sends these pieces, whatever it is asked, and a pause after each; whether the connection stays open then."""

    def script(connection: socket.socket, request: Received) -> bool:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        return stay

    return script


def sends(raw: bytes, then_reset: bool = False) -> Script:
    """A script that sends these bytes and closes the connection, with a reset if asked."""

    def script(connection: socket.socket, request: Received) -> bool:
        connection.sendall(raw)
        if then_reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return script
