"""Gunicorn's parser and environ, in few steps for a request that is beyond any doubt, and its own for all others."""

from __future__ import annotations

import re
from functools import lru_cache
from io import BytesIO
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.message import Request as GunicornRequest
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import WSGIErrorsWrapper
from gunicorn.util import unquote_to_wsgi_str

from gateway.api.body import HAS_BODY
from gateway.server.response import Response

_SOUND = re.compile(
    r"([A-Z]{3,20}) (/(?!/)[!-\"$-~]*) HTTP/1\.1((?:\r\n[!#$%&'*+\-.^`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+)++)"
)
_LENGTH = re.compile(r"[0-9]{1,15}")
_ODD = frozenset({"EXPECT", "TRANSFER-ENCODING"})
_SAME = ("wsgi.version", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.file_wrapper",
         "wsgi.input_terminated", "SERVER_SOFTWARE", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME")  # fmt: skip

_gunicorns_environ = wsgi.create


class Request(GunicornRequest):  # type: ignore[misc]
    """A request.

    Its head is beyond doubt if it came at once, has nothing in it that is allowed only sometimes, and says nothing
    twice: then there is but one way to read it, which one pattern finds. Gunicorn goes through any other head step by
    step, and says what is wrong with it.

    Attributes:
        fields: the headers of such a head; None of any other.
        has_body: all of its body came with it.
    """

    fields: dict[str, str] | None = None
    has_body = False
    path: str
    query: str

    def _parse_python(self, unreader: Any, buf: bytearray) -> bytes:
        end = buf.find(b"\r\n\r\n")
        if not 0 < end <= min(self.limit_request_line, self.limit_request_field_size):
            return bytes(super()._parse_python(unreader, buf))
        sound = _SOUND.fullmatch(buf[:end].decode("latin-1"))
        if sound is None or not self._take(sound[3].split("\r\n")[1:]):
            return bytes(super()._parse_python(unreader, buf))
        self.method, self.uri, self.version = sound[1], sound[2], (1, 1)
        self.path, _, self.query = self.uri.partition("?")
        self.fragment = ""
        return bytes(buf[end + 4 :])

    def _take(self, lines: list[str]) -> bool:
        """Whether the headers, each well-formed, are beyond doubt."""
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.upper()] = value.strip(" \t")
        if (
            not len(fields) == len(lines) <= self.limit_request_fields
            or "HOST" not in fields
            or not _ODD.isdisjoint(fields)
            or not _LENGTH.fullmatch(fields.get("CONTENT-LENGTH", "0"))
            or len(schemes := fields.keys() & self.cfg.secure_scheme_headers.keys()) > 1
        ):
            return False
        for name in schemes:
            self._apply_header_policy(name, fields[name], [False], set(), *self._peer_trusted_for_forwarded())
        self.fields, self.headers = fields, list(fields.items())
        return True

    def set_body_reader(self) -> None:
        """A body of the length that the head says, or none."""
        if self.fields is None:
            super().set_body_reader()
            return
        length, came = int(self.fields.get("CONTENT-LENGTH", 0)), self.unreader.take_buffered()
        self.has_body = len(came) >= length
        if self.has_body:
            self.unreader.unread(came[length:])
            self.body = Body(BytesIO(came[:length]))
        else:
            self.unreader.unread(came)
            self.body = Body(LengthReader(self.unreader, length))

    def should_close(self) -> bool:
        """Whether the connection ends with this request."""
        if self.fields is None or self.method == "CONNECT":
            return bool(super().should_close())
        return self.must_close or self.fields.get("CONNECTION", "").lower() == "close"


class Parser(RequestParser):  # type: ignore[misc]
    """The requests of a connection."""

    mesg_class = Request

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Read what is left of the request's body, if there is anything left to read."""
        body = getattr(self.mesg, "body", None)
        over = getattr(self.mesg, "has_body", False) or getattr(getattr(body, "reader", None), "length", None) == 0
        if over and isinstance(body, Body) and not body.failed:
            return True
        return bool(super().finish_body(deadline, max_bytes))


class _Errors:
    """Where an application may write what went wrong: to what Gunicorn's log has open at that moment."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def write(self, text: str) -> None:
        WSGIErrorsWrapper(self._cfg).write(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Each text is written through at once."""


_same: dict[Any, dict[str, Any]] = {}


def create(
    req: Any, sock: Any, client: Any, server: Any, cfg: Any, response_class: Any = None, response_args: Any = ()
) -> tuple[Any, dict[str, Any]]:
    """What Gunicorn's function of this name does; it is asked for the first request of each listener, for what all of
    its requests have in common, and for all that are not beyond doubt."""
    fields = getattr(req, "fields", None)
    same = None if fields is None or req.proxy_protocol_info or not isinstance(client, tuple) else _same.get(server)
    if same is None or response_class is not None:
        response, environ = _gunicorns_environ(
            req, sock, client, server, cfg, response_class or Response, response_args
        )
        if fields is not None and isinstance(server, tuple) and not environ["SCRIPT_NAME"]:
            _same[server] = {name: environ[name] for name in _SAME} | {"wsgi.errors": _Errors(cfg)}
        return response, environ
    environ = {
        **same,
        "wsgi.input": req.body,
        HAS_BODY: req.has_body,
        "wsgi.url_scheme": req.scheme,
        "gunicorn.socket": sock,
        "REQUEST_METHOD": req.method,
        "RAW_URI": req.uri,
        "PATH_INFO": unquote_to_wsgi_str(req.path) if "%" in req.path else req.path,
        "QUERY_STRING": req.query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
    }
    for name, value in req.fields.items():
        environ[_key(name)] = value
    return Response(req, sock, cfg), environ


@lru_cache(512)
def _key(name: str) -> str:
    """The name that a header has in an environ."""
    key = name.replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
