"""A way to PostgreSQL that is cut where a test says so."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from types import TracebackType
from typing import Literal, Self

_COMMITTED = b"C\0\0\0\x0bCOMMIT\0"  # as the server says it
_ENDED = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_ERROR = b"E" + (4 + len(_ENDED)).to_bytes(4, "big") + _ENDED


class CuttingProxy:
    """Passes bytes on between clients and a server of this machine.

    Args:
        port: the server's.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self._cut: str | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def cut(self, side: Literal["before", "after", "ended"]) -> None:
        """Cut off the next client that says something: before the server hears that, when it has committed, or then with
        the last words of a server that shuts down, whose connection is closed a little later."""
        self._cut = side

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._pass_on, args=(self._listener.accept()[0],), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self._server)) as server,
            selectors.DefaultSelector() as selector,  # unlike select.select it takes descriptors above 1,023
            contextlib.suppress(OSError),
        ):
            for side in (client, server):
                selector.register(side, selectors.EVENT_READ)
            while True:
                for ready in (client if key.fd == client.fileno() else server for key, _ in selector.select()):
                    said = ready.recv(65536)
                    if not said:
                        return
                    if self._cut and (ready is client if self._cut == "before" else _COMMITTED in said):
                        cut, self._cut = self._cut, None
                        if cut == "ended":
                            client.sendall(said.partition(_COMMITTED)[0] + _COMMITTED + _ERROR)
                            time.sleep(0.5)
                        return
                    (server if ready is client else client).sendall(said)
