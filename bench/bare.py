"""The least that moving a body costs: a WSGI app that reads it and sends it on over a plain socket, unread.

`python -m gunicorn --worker-class gevent bench.bare:app`, with UPSTREAM as `host:port`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Any

from bench.framing import Response

_host, _, _port = os.environ["UPSTREAM"].partition(":")
_HEAD = "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
_idle: list[socket.socket] = []  # connections to the upstream that no call uses


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with what the upstream answered."""
    body = environ["wsgi.input"].read()
    upstream = _idle.pop() if _idle else socket.create_connection((_host, int(_port)))
    upstream.sendall(_HEAD.format(_host, len(body)).encode())
    upstream.sendall(body)
    response = Response()
    while not response.add(upstream.recv(65_536)):
        pass
    _idle.append(upstream)
    answer = bytes(response.data).partition(b"\r\n\r\n")[2]
    start_response("200 OK", [("content-type", "application/json"), ("content-length", str(len(answer)))])
    return [answer]
