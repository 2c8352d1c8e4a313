"""A provider that accepts and says nothing, drips or pauses: each deadline ends the call that it is for."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.fakes.upstream import Received, Script, Upstream, sending
from tests.faults.hostile import PATHS, good, site_in
from tests.faults.rig import LONG
from tests.unit.providers.streams import HEAD, HELLO, chunked, event

DEADLINES = {"connect": 0.3, "first_byte": 0.4, "idle": 0.5, "total": 1.0}
LATE = 1.0  # seconds that a busy machine may take
ROUNDS = 10 if LONG else 1

ROLE = HEAD + chunked(event({"role": "assistant", "content": ""}))
SECOND = chunked(event({"content": "x" * 200}))


def forever(first: bytes, again: bytes, pause: float) -> Script:
    def script(connection: socket.socket, request: Received) -> bool:
        return sending(itertools.chain([first], itertools.repeat(again)), pause)(connection, request)

    return script


@pytest.mark.shows("F6", "F8")
@pytest.mark.parametrize("dialect", PATHS if LONG else ["openai"])
@pytest.mark.parametrize(
    ("deadline", "stream", "script", "toxics"),
    [
        pytest.param("total", False, good, {"mute": True}, id="mute, whole"),
        pytest.param("first_byte", True, good, {"mute": True}, id="mute, stream"),
        pytest.param("first_byte", True, good, {"drip": 10}, id="headers drip"),
        pytest.param("total", False, good, {"drip": 10}, id="an answer drips"),
        pytest.param("idle", True, sending([ROLE], 2, stay=False), {}, id="a pause after the role"),
        pytest.param("idle", True, sending([ROLE, *[SECOND[:1]] * 3], 1, stay=False), {}, id="a byte a second"),
        pytest.param("idle", True, sending([ROLE, *[bytes([byte]) for byte in SECOND]], 0.05), {}, id="an event drips"),
        pytest.param("total", True, forever(ROLE, chunked(HELLO[1]), 0.1), {}, id="event after event"),
    ],
)
def test_each_deadline_ends_the_call_that_it_is_for(
    deadline: str,
    stream: bool,
    script: Script,
    toxics: dict[str, Any],
    dialect: str,
    make_app: Callable[..., Flask],
    ledger_file: Path,
    upstream: Upstream,
    figures: Callable[..., None],
) -> None:
    with site_in(make_app, ledger_file, upstream, **DEADLINES) as site:
        upstream.script = script
        site.proxy.set(**toxics)
        took = []
        for _ in range(ROUNDS):
            began = time.monotonic()
            assert site.ask(dialect, stream).broke("upstream_timeout")
            took.append(time.monotonic() - began)
        assert min(took) > DEADLINES[deadline] - 0.05
        assert max(took) < DEADLINES[deadline] + LATE
        site.check_books()
    figures(f"{deadline} of {DEADLINES[deadline]:g} s: ended after {max(took):.2f} s at most", ROUNDS)


@pytest.mark.shows("F6")
@pytest.mark.parametrize("stream", [False, True])
def test_a_handshake_that_nobody_answers_ends_with_its_deadline_and_another_provider_answers(
    stream: bool, make_app: Callable[..., Flask], ledger_file: Path, upstream: Upstream, figures: Callable[..., None]
) -> None:
    with site_in(make_app, ledger_file, upstream, "https", **DEADLINES) as site:
        site.proxy.set(mute=True)
        began = time.monotonic()
        assert site.ask("openai", stream, "falls").done
        took = time.monotonic() - began
        assert DEADLINES["connect"] < took < DEADLINES["connect"] + LATE
        site.check_books()
    figures(f"connect of {DEADLINES['connect']:g} s: another provider had answered after {took:.2f} s", 1)
