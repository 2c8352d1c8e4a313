"""A request's JSON body, read whole within its size, whatever its framing and however it is sent."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from gunicorn.http.errors import ParseException
from werkzeug.sansio.utils import get_content_length

from gateway.api.strict_json import parse
from gateway.concurrency import Expired, at_most, give_way, in_turn
from gateway.errors import InvalidRequest, RequestTimeout, RequestTooLarge, UnsupportedMediaType
from gateway.telemetry.record import RequestRecord

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_MEDIA_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;\s*charset=\"?utf-?8\"?\s*)?", re.IGNORECASE)
HAS_BODY = "gateway.has_body"  # of the environment: all of the body is there, and reading it waits for nobody
_READ_TO_ITS_END = "gateway.body_read"
_MOST_LEFT_UNREAD = 65_536  # bytes that Gunicorn may read and drop so as to keep the connection
_LINGER_SECONDS = 1
_STALLED_SECONDS = 9.0  # without a byte of a body that was announced
_SLOWEST = 32_768  # bytes a second after that time; who keeps a place busy with a body must at least send one
_PIECE = 65_536  # bytes at once
_CHUNKED_READ = 2_048  # bytes at once: chunks of one byte each take long to put together


def read_json(environ: WSGIEnvironment, most_bytes: int, record: RequestRecord) -> tuple[dict[str, Any], bytes]:
    """Read and parse the body.

    Args:
        environ: the request, its body not read yet.
        most_bytes: the largest body that is taken.
        record: is told how long the body was waited for.

    Returns:
        What it says, and its bytes.

    Raises:
        UnsupportedMediaType: not JSON by its headers, or compressed.
        RequestTooLarge: larger than `most_bytes`, whatever its framing.
        InvalidRequest: not one JSON object, or one that two parsers may read differently.
    """
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed; the gateway takes no Content-Encoding.")
    if not _MEDIA_TYPE.fullmatch(environ.get("CONTENT_TYPE", "")):
        raise UnsupportedMediaType("Send JSON in UTF-8 with the header 'Content-Type: application/json'.")
    started = time.monotonic()
    body = _read(environ, most_bytes)
    record.waited_seconds += time.monotonic() - started
    return in_turn(len(body), lambda: parse(body)), body


def _read(environ: WSGIEnvironment, most_bytes: int) -> bytes:
    too_large = RequestTooLarge(f"The body is larger than the {most_bytes} bytes that this gateway takes.")
    length = get_content_length(environ.get("CONTENT_LENGTH"), environ.get("HTTP_TRANSFER_ENCODING"))
    if length is not None and length > most_bytes:
        raise too_large
    if length is None and not environ.get("wsgi.input_terminated"):
        return b""
    if length is not None and environ.get(HAS_BODY):
        environ[_READ_TO_ITS_END] = True
        return cast(bytes, environ["wsgi.input"].read(length))
    # Flask's own limit would cut a chunked body silently and serve the rest of it as if it were whole.
    stream, pieces, size = environ["wsgi.input"], [], 0
    until = time.monotonic() + _STALLED_SECONDS  # and later with each byte, but never by more than that from now on
    with _read_errors(environ.get("gunicorn.socket")):
        while size <= most_bytes and size != length:
            wanted = _CHUNKED_READ if length is None else min(_PIECE, length - size)
            with at_most(until + wanted / _SLOWEST - time.monotonic()):
                piece = stream.read(wanted)
            until += len(piece) / _SLOWEST
            if time.monotonic() > until:  # threads find out afterwards
                raise Expired
            until = min(until, time.monotonic() + _STALLED_SECONDS)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size != length:
                give_way()
    if size > most_bytes:
        raise too_large
    if length is not None and size < length:
        raise InvalidRequest("The body ended before its Content-Length.")
    environ[_READ_TO_ITS_END] = True
    return b"".join(pieces)


@contextlib.contextmanager
def _read_errors(connection: socket.socket | None) -> Iterator[None]:
    """What can go wrong with reading, as the client is told of it; a body that stops gets no more than its time."""
    try:
        if connection is not None:
            connection.settimeout(_STALLED_SECONDS)
        yield
        if connection is not None:
            connection.settimeout(None)
    except TimeoutError as error:
        raise RequestTimeout(f"The body stopped: {_STALLED_SECONDS:.0f} seconds without a byte of it.") from error
    except Expired as error:
        raise RequestTimeout(f"The body came too slowly: less than {_SLOWEST} bytes a second.") from error
    except (OSError, ParseException) as error:
        raise InvalidRequest("The body's framing is broken.") from error


def close_if_unread(environ: Mapping[str, Any], anyway: bool = False) -> Callable[[], None] | None:
    """Have the connection closed after the response if much of the request's body was left unread.

    Gunicorn would read all of it first so as to find the next request, for as long as the client goes on sending.

    Args:
        anyway: close it whether or not.

    Returns:
        What is to be done once the response has been sent, if anything is.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None or environ.get(_READ_TO_ITS_END):
        return None
    body: Any = environ["wsgi.input"]
    unread = int(environ.get("CONTENT_LENGTH") or 0) > _MOST_LEFT_UNREAD or "HTTP_TRANSFER_ENCODING" in environ
    if not (unread or body.failed or anyway):
        return None
    body.message.force_close()
    return lambda: linger(connection)


def linger(connection: socket.socket) -> None:
    """Say that the answer is over, and take for a moment what still comes: to close at once would reset the
    connection, and the answer with it."""
    until = time.monotonic() + _LINGER_SECONDS
    try:
        connection.shutdown(socket.SHUT_WR)
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65_536):
                return
            give_way()
    except OSError:
        return  # the client is gone, or sends until the end; either way the connection closes now
