"""A provider that sends without an end: it is cut off, and takes little of the gateway's memory before."""

from __future__ import annotations

import itertools
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.fakes.upstream import Received, Script, Upstream, sends
from tests.faults.hostile import CAP, HEAD, Site, site_in
from tests.faults.rig import LONG
from tests.unit.providers.streams import DONE, END, chunked, event

MOST = 64 * 2**20  # bytes more than before
PATIENCE = 20.0  # seconds
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
BLOCK = b"x" * 65_536
EVENTS = chunked(*[event({"content": "word " * 20})] * 50)
FIRST = HEAD + chunked(event({"role": "assistant", "content": ""}))
GIGABYTE = 2**30


def flood(first: bytes, again: bytes, most: int = GIGABYTE) -> Script:
    """Sends this, and that again until nobody wants any more or it has been a gigabyte."""

    def script(connection: socket.socket, request: Received) -> bool:
        for piece in itertools.chain([first], itertools.repeat(again, most // len(again))):
            connection.sendall(piece)
        return False

    return script


def bomb() -> bytes:
    """A hundred megabytes in a hundred kilobytes."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b" " * 2**20) for _ in range(100)) + packer.flush()


@pytest.fixture
def site(make_app: Callable[..., Flask], ledger_file: Path, upstream: Upstream) -> Iterator[Site]:
    with site_in(make_app, ledger_file, upstream, total=PATIENCE) as site:
        yield site


class Memory:
    """How much of it this process has had at most since this was made."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    def growth(self) -> int:
        return self._read("VmHWM") - self._before

    @staticmethod
    def _read(name: str) -> int:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024


FLOODS = [
    pytest.param(True, flood(FIRST, EVENTS), id="events without an end"),
    pytest.param(True, flood(FIRST + b"40000000\r\ndata: ", BLOCK), id="a line of a gigabyte"),
    pytest.param(True, flood(b"HTTP/1.1 200 OK\r\n", b"".join(b"x-%d: 1\r\n" % n for n in range(1000)), 2**24),
                 id="a million headers"),
    pytest.param(False, flood(b"HTTP/1.1 200 OK\r\n", b"".join(b"x-%d: 1\r\n" % n for n in range(1000)), 2**24),
                 id="a million headers, whole"),
    pytest.param(False, sends(JSON + b"content-encoding: gzip\r\n\r\n" + bomb()), id="a bomb"),
    pytest.param(False, flood(JSON + b'\r\n{"choices": "', BLOCK), id="an answer of a gigabyte"),
    pytest.param(False, flood(JSON + b'\r\n{"choices": [', b"{}," * 20_000), id="an answer of empty parts"),
    *([pytest.param(True, flood(FIRST, b"1\r\n:\r\n" * 10_000, 2**26), id="chunks of a byte")] if LONG else []),
]  # fmt: skip


@pytest.mark.shows("F11")
@pytest.mark.parametrize(("stream", "script"), FLOODS)
def test_an_answer_without_an_end_is_cut_and_takes_little_memory(
    stream: bool, script: Script, site: Site, figures: Callable[..., None]
) -> None:
    site.upstream.script = script
    site.ask("openai", stream)  # with all that one such call needs
    memory, began = Memory(), time.monotonic()
    for _ in range(5 if LONG else 2):  # what one left behind would show
        told = site.ask("openai", stream)
        assert told.broke(), (told.status, told.body[-500:])
    took, growth = (time.monotonic() - began), memory.growth()
    figures(f"cut after {took:.1f} s, with {growth / 2**20:.0f} MB more", 1)
    assert growth < MOST
    site.check_books()


@pytest.mark.shows("F11")
def test_an_answer_that_has_plainly_passed_its_cap_is_cut_and_charged_at_the_cap(
    site: Site, figures: Callable[..., None]
) -> None:
    site.upstream.script = flood(FIRST, EVENTS)
    told = site.ask("openai", True, n=2)
    assert told.broke()
    text = told.text if told.events else ""  # where the first read brought too much already, nothing was given
    assert len(text) < 3 * 2 * CAP * 256
    ((tokens, error),) = site.books.rows("completion_tokens, error_code")
    assert (tokens, error) == (2 * CAP, "upstream_error")
    figures(f"an answer of {2 * CAP} tokens at most was cut after {len(text)} characters", 1)


def test_an_answer_of_the_longest_tokens_is_whole(site: Site) -> None:
    token = chunked(event({"content": " " * 128}))
    site.upstream.script = sends(FIRST + token * 500 + chunked(DONE) + END)
    told = site.ask("openai", True, max_tokens=500)
    assert (told.done, len(told.text)) == (True, 500 * 128)
