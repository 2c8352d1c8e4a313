"""A response's body as its bytes come.

http.client's own reading cannot go on after a time-out, hands on what it has only once it has as much as it was asked
for, and takes several calls for each chunk.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from gateway.providers.connection import Response

_READ = 65_536
_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?")
_LONGEST_LINE = 4_096  # bytes of a chunk's size, its extensions included, or of a trailer


class Body:
    """The body of `response`, whose headers have been read.

    Attributes:
        ended: all of it was read.
        clean: and nothing came after it, so that the connection may serve another call.
    """

    def __init__(self, response: Response) -> None:
        self._reader = response.reader
        self._reader.stopped = True  # what follows the headers in the buffer is taken out of it without a read
        self._early = response.fp.peek()
        self._chunks = Chunks() if response.chunked else None
        self._left: int | None = response.length
        self._buffer = bytearray(_READ)
        self.ended = self._left == 0
        self.clean = False  # nobody knows that of a response which has no body

    def arrivals(self, heartbeat: float) -> Iterator[bytes]:
        """Yield the body as it comes, and b"" after every `heartbeat` seconds of silence.

        Raises:
            TimeoutError: a deadline has passed.
            HungUp: the client has left.
            OSError, ValueError: the body broke off, or its framing is wrong.
        """
        latest = time.monotonic()
        data = self._early
        while not self.ended:
            if data:
                self._reader.begun()
                if content := self._content(data):
                    yield content
                latest = time.monotonic()  # whoever took it may have been slow, which is not the provider's silence
            if not self.ended:
                data = self._receive(heartbeat, latest)
                if not data and not self.ended:
                    yield b""

    def finish(self, patience: float) -> None:
        """Take in the end of the body, if that is all that is missing and it comes within `patience` seconds."""
        if not self.ended and (count := self._reader.receive_into(self._buffer, patience)):
            self._content(bytes(memoryview(self._buffer)[:count]))

    def _receive(self, heartbeat: float, latest: float) -> bytes:
        """The next bytes; b"" after `heartbeat` seconds of silence, or at the end."""
        silence = self._reader.silence
        left = float("inf") if silence is None else latest + silence - time.monotonic()
        count = self._reader.receive_into(self._buffer, min(heartbeat, left))
        if count is None and self._reader.expired:
            raise TimeoutError("it took too long")
        if count is None and left <= heartbeat:
            raise TimeoutError(f"silent for {silence:g} s")
        if count == 0:
            if self._left is not None or self._chunks:
                raise ConnectionError("the connection ended within the body")
            self.ended = True
        return bytes(memoryview(self._buffer)[: count or 0])

    def _content(self, data: bytes) -> bytes:
        """What `data` holds of the body."""
        if self._chunks:
            content = self._chunks.feed(data)
            self.ended, self.clean = self._chunks.ended, self._chunks.ended and not self._chunks.rest
            return content
        if self._left is None:
            return data
        content = data[: self._left]
        self._left -= len(content)
        self.ended = not self._left
        self.clean = self.ended and len(content) == len(data)
        return content


class Chunks:
    """Takes the chunks of a chunked body apart (RFC 9112, section 7.1), however its bytes come.

    Attributes:
        ended: the last chunk and the trailers have come.
        rest: what is still to be looked at; after the end, what came too much.
    """

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        self._left = 0  # bytes of the current chunk, the line end after it included
        self._in_trailers = False

    def feed(self, data: bytes) -> bytes:
        """The content that `data` holds. Raises ValueError where the framing is wrong."""
        data, self.rest = self.rest + data, b""
        content: list[bytes] = []
        at = 0
        while not self.ended:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                content.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left > 2:
                    return b"".join(content)
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            self._line(data[at:end])
            at = end + 2
        self.rest = data[at:]
        if not self.ended and len(self.rest) > _LONGEST_LINE:
            raise ValueError("a line of the chunks' framing has no end")
        return b"".join(content)

    def _line(self, line: bytes) -> None:
        if self._left:
            if line:
                raise ValueError("a chunk is longer than its size says")
            self._left = 0
        elif self._in_trailers:
            self.ended = not line
        else:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise ValueError("a chunk's size is no number")
            self._left = int(size[1], 16) + 2
            self._in_trailers = self._left == 2
            if self._in_trailers:
                self._left = 0
