"""A server on the way to another one, which hands everything on late; in this process, or in one of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
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
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with source, target, contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if self.seconds:
                    time.sleep(self.seconds)
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


class SlowProcess:
    """A slow proxy that is never busy with anything else.

    Args:
        port: of the other server, on this machine.
    """

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", __name__, str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def delay(self, seconds: float) -> None:
        """Hand everything on so much later from now on."""
        assert self._process.stdin
        print(seconds, file=self._process.stdin, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)


def main(port: int) -> None:
    """Print the port to use, and read seconds from standard input until it ends."""
    with SlowProxy(port) as proxy:
        print(proxy.port, flush=True)
        for line in sys.stdin:
            proxy.seconds = float(line)


if __name__ == "__main__":
    main(int(sys.argv[1]))
