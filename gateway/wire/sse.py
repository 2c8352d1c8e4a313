"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), a block of them at a time."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

MEDIA_TYPE = "text/event-stream"
PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"  # how a stream of OpenAI's ends
LARGEST_EVENT = 4_194_304  # bytes


class Framer:
    """Cuts a stream into whole events, however its bytes come. Lines may end in LF, CRLF or CR, and then in LF."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_cr = False
        self._first = True

    def feed(self, data: bytes) -> bytes:
        """The events that are whole with `data`, each ended by an empty line; b"" for none.

        Raises:
            ValueError: an event larger than LARGEST_EVENT.
        """
        if data and (self._after_cr or b"\r" in data):
            data = self._with_line_feeds(data)
        searched = max(0, len(self._rest) - 1)
        self._rest += data
        end = self._rest.rfind(b"\n\n", searched) + 2
        if end < 2:
            if len(self._rest) > LARGEST_EVENT:
                raise ValueError(f"an event of more than {LARGEST_EVENT} bytes")
            return b""
        events = bytes(self._rest[:end])
        del self._rest[:end]
        if self._first:
            self._first, events = False, events.removeprefix(codecs.BOM_UTF8)
        return events

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def event(data: bytes) -> bytes:
    """One event; `data` is a single line."""
    return b"data: %b\n\n" % data


def named_event(said: Mapping[str, Any]) -> bytes:
    """One event, under the name of its type."""
    return b"event: %b\ndata: %b\n\n" % (str(said["type"]).encode(), orjson.dumps(said))


def events(block: bytes) -> list[bytes]:
    """The events of a block, without the empty lines between them."""
    return [found for found in block.split(b"\n\n") if found]


def payloads(block: bytes) -> Sequence[bytes]:
    """What the events of a block say: the data of each, without those that have none, such as comments."""
    return read(block)[0]


def read(block: bytes) -> tuple[Sequence[bytes], bytes]:
    """What the events of a block say, and the block without comments, names and ids of its events, which no client of
    OpenAI's API has a use for, and without whatever else stands between them."""
    plain = block[6:-2].split(b"\n\ndata: ")  # as nearly all streams are
    if block.startswith(b"data: ") and block.endswith(b"\n\n") and block.count(b"\n") == 2 * len(plain):
        return plain, block
    data = list(_data(block))
    return [b"\n".join(lines) for lines in data], b"".join(b"data: %b\n\n" % b"\ndata: ".join(lines) for lines in data)


def _data(block: bytes) -> Iterator[list[bytes]]:
    """The lines of data of each event that has any."""
    for found in events(block):
        data = [line[5:].removeprefix(b" ") for line in found.split(b"\n") if line.startswith(b"data:")]
        if data:
            yield data
