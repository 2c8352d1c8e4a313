"""A response's body as its bytes come, and what each way to a provider has to say of it."""

from __future__ import annotations

import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

from gateway.concurrency import cooperative
from gateway.providers.connection import Reader

_READ = 65_536
_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?")
_OF_GREENLETS = memoryview(bytearray(_READ))
_of_threads = threading.local()
_LONGEST_LINE = 4_096  # bytes of a chunk's size, its extensions included, or of a trailer


class Body(ABC):
    """A response's body, whose headers have been read.

    Args:
        reader: where the rest of it comes from.

    Attributes:
        ended: all of it was read.
        clean: and nothing came after it, so that the connection may serve another call.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.ended = False
        self.clean = False
        self._buffer = _buffer()

    @abstractmethod
    def close(self) -> None:
        """Let the connection serve another call if the body is clean, else close it."""

    @property
    @abstractmethod
    def _framed(self) -> bool:
        """Whether the body says where it ends; else that is where the connection does."""

    @abstractmethod
    def _early(self) -> bytes:
        """What of it came with the headers. Raises what `_content` does."""

    @abstractmethod
    def _content(self, data: memoryview) -> bytes:
        """What `data` holds of it; notes whether that was its end. Raises ValueError where the framing is wrong."""

    def arrivals(self, heartbeat: float) -> Iterator[bytes]:
        """Yield the body as it comes, and b"" after every `heartbeat` seconds of silence.

        Raises:
            TimeoutError: a deadline has passed.
            HungUp: the client has left.
            OSError, ValueError: the body broke off, or its framing is wrong.
        """
        content, latest = self._early(), time.monotonic()
        while True:
            if content:
                self.reader.begun()
                yield content
                latest = time.monotonic()  # whoever took it may have been slow, which is not the provider's silence
            if self.ended:
                return
            count = self._receive(heartbeat, latest)
            content = self._content(self._buffer[:count]) if count else b""
            if count:
                latest = time.monotonic()
            elif not self.ended:
                yield b""

    def finish(self, patience: float) -> None:
        """Take in the end of the body, if that is all that is missing and it comes within `patience` seconds."""
        if not self.ended and (count := self.reader.receive_into(self._buffer, patience)):
            self._content(self._buffer[:count])

    def _receive(self, heartbeat: float, latest: float) -> int | None:
        """How many bytes have come, 0 at the end; None after `heartbeat` seconds of silence."""
        silence = self.reader.silence
        left = float("inf") if silence is None else latest + silence - time.monotonic()
        count = self.reader.receive_into(self._buffer, min(heartbeat, left))
        if count is None and self.reader.expired:
            raise TimeoutError("it took too long")
        if count is None and left <= heartbeat:
            raise TimeoutError(f"silent for {silence:g} s")
        if count == 0:
            if self._framed:
                raise ConnectionError("the connection ended within the body")
            self.ended = True
        return count


def _buffer() -> memoryview:
    """Where a read's bytes lie until they are looked at, which is at once: so all greenlets may have the same place,
    and a stream that waits takes no room for what may come. A thread has one of its own."""
    if cooperative():
        return _OF_GREENLETS
    found: memoryview | None = getattr(_of_threads, "buffer", None)
    if found is None:
        found = _of_threads.buffer = memoryview(bytearray(_READ))
    return found


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
