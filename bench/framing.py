"""Where an HTTP message ends, for both ends of the load."""

from __future__ import annotations

import re

LAST_CHUNK = b"\r\n0\r\n\r\n"  # and the end of the line before it
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


def message_size(data: bytes | bytearray) -> int | None:
    """The bytes, head included, of the message that `data` begins with; None while its head is not whole.

    The length of the body is what Content-Length says, or zero without it.
    """
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = _LENGTH.search(data, 0, head)
    return head + 4 + (int(length[1]) if length else 0)


class Response:
    """An HTTP response that comes in piece by piece and ends where its Content-Length or its last chunk says.

    The last chunk is told by how what has come so far ends: no chunk is parsed. That is exact as long as no carriage
    return stands in the body, as in events and in JSON, and the server sends no trailers.

    Attributes:
        data: what has come, head included.
    """

    __slots__ = ("_body", "_size", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._body = 0  # where it begins; zero while the head is not whole
        self._size: int | None = None  # of all; None while the head is not whole, and if the body is chunked

    @property
    def begun(self) -> bool:
        """Whether any of the body has come."""
        return 0 < self._body < len(self.data)

    def add(self, piece: bytes) -> bool:
        """Take the next piece; tells whether the response is whole with it.

        Raises:
            ConnectionError: it is longer than its Content-Length says.
        """
        self.data += piece
        if not self._body and not self._read_head():
            return False
        if self._size is None:
            return self.data.endswith(LAST_CHUNK)
        if len(self.data) > self._size:
            raise ConnectionError("response longer than its content-length")
        return len(self.data) == self._size

    def _read_head(self) -> bool:
        head = self.data.find(b"\r\n\r\n")
        if head < 0:
            return False
        self._body = head + 4
        if length := _LENGTH.search(self.data, 0, head):
            self._size = self._body + int(length[1])
        elif not _CHUNKED.search(self.data, 0, head + 2):
            self._size = self._body
        return True
