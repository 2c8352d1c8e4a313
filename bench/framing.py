"""Where an HTTP message ends, for both ends of the load."""

from __future__ import annotations

import re

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


def message_size(data: bytes) -> int | None:
    """The bytes, head included, of the message that `data` begins with; None while its head is not whole.

    The length of the body is what Content-Length says, or zero without it.
    """
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = _LENGTH.search(data, 0, head)
    return head + 4 + (int(length[1]) if length else 0)
