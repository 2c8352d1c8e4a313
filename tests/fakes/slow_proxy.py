"""A server on the way to another one, which hands everything on late."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self


class SlowProxy:
    """Hands on what it is sent, in both directions.

    Args:
        port: of the other server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.seconds = 0.0  # later than it was sent

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                try:
                    server = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    client.close()
                    continue
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with source, target, contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self.seconds:
                    time.sleep(self.seconds)
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
