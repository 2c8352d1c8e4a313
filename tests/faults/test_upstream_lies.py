"""A provider that sends what is no answer, or more than one: nothing of it reaches a client but in the client's dialect."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from gateway.config.secrets import Secret
from gateway.telemetry.logs import LineFormatter
from tests.fakes.upstream import Upstream, answers, completion, response, sends
from tests.faults.hostile import CALLS, CREDENTIAL, HEAD, PATHS, WHOLE, Site, good, site_in
from tests.unit.providers.streams import DONE, END, HELLO, chunked, event

Figures = Callable[..., None]
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ANSWER = WHOLE.partition(b"\r\n\r\n")[2]
HTML = response(b"<html>Too busy</html>", headers={"content-type": "text/html"})
SAID_IN_ERROR = response(b'{"error": {"message": "overloaded", "code": "busy"}}')
DEEP = response(b"[" * 100_000 + b"]" * 100_000)

WRONG_WHOLES = {
    "broken JSON": response(b'{"choices": [{'),
    "an error with 200": SAID_IN_ERROR,
    "HTML": HTML,
    "a length too short": JSON + b"content-length: 40\r\n\r\n" + ANSWER,
    "a length too long": JSON + b"content-length: 9999\r\n\r\n" + ANSWER,
    "no chunk": JSON + b"transfer-encoding: chunked\r\n\r\nzz\r\n" + ANSWER,
    "a chunk too long": JSON + b"transfer-encoding: chunked\r\n\r\n5\r\n" + ANSWER,
    "a length and chunks": JSON + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + ANSWER,
    "nothing": response(b""),
    "no content": b"HTTP/1.1 204 None\r\n\r\n",
    "a list": response(b"[]"),
    "no UTF-8": response(ANSWER.replace(b"Hello", b"\xff\xfe")),
    "too deep": DEEP,
    "compressed": response(gzip.compress(ANSWER), headers={"content-encoding": "gzip"}),
}
WRONG_STREAMS = {
    "broken JSON": HEAD + chunked(*HELLO, b'data: {"choices": [{\n\n', DONE) + END,
    "an error with 200": SAID_IN_ERROR,
    "an error for an event": HEAD + chunked(b'data: {"error": {"message": "overloaded"}}\n\n') + END,
    "HTML": HTML,
    "a length too short": HEAD.replace(b"transfer-encoding: chunked", b"content-length: 40") + HELLO[0] + DONE,
    "a length too long": HEAD.replace(b"transfer-encoding: chunked", b"content-length: 9999") + HELLO[0],
    "no chunk": HEAD + chunked(HELLO[0]) + b"zz\r\n" + HELLO[1],
    "a chunk too long": HEAD + chunked(HELLO[0]) + b"5\r\n" + HELLO[1],
    "no mark of the end": HEAD + chunked(*HELLO) + END,
    "no UTF-8": HEAD + chunked(HELLO[0], b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n', DONE) + END,
    "too deep": HEAD + chunked(HELLO[0], b"data: " + b"[" * 2_000 + b"\n\n", DONE) + END,
    "compressed": HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + chunked(*HELLO, DONE) + END,
}
TEXTS = [
    "\n\ndata: [DONE]\n\n",
    "\r",
    "\r\n\r\n",
    "\u2028\u2029\x85",
    'data: {"error": {}}\n\n',
    "\x00\x1b[31m",
    "\U0001f642",
]


@pytest.fixture
def site(make_app: Callable[..., Flask], ledger_file: Path, upstream: Upstream) -> Iterator[Site]:
    with site_in(make_app, ledger_file, upstream) as site:
        yield site


@pytest.mark.shows("F10", "P12")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_is_no_answer_is_an_upstream_error_and_the_next_call_gets_its_own_answer(
    stream: bool, site: Site, figures: Figures
) -> None:
    kinds = WRONG_STREAMS if stream else WRONG_WHOLES
    for kind, raw in kinds.items():
        for dialect in PATHS:
            site.upstream.script = lambda connection, request, raw=raw: bool(connection.sendall(raw))
            told = site.ask(dialect, stream)
            assert told.broke(), (kind, told)
            assert b"overloaded" not in told.body
            site.upstream.script = good
            assert site.ask(dialect, stream).done, kind
    site.check_books()
    asked = len(kinds) * len(PATHS)
    figures(f"0 of {asked} {'streams' if stream else 'answers'} that were none got anything but an error", asked)


def test_a_letter_may_come_in_two_pieces(site: Site) -> None:
    half = HELLO[0].index("é".encode()) + 1
    site.upstream.script = sends(HEAD + chunked(HELLO[0][:half], HELLO[0][half:], HELLO[1], DONE) + END)
    assert site.ask("openai", True).text == "Héllo"


@pytest.mark.shows("F10")
@pytest.mark.parametrize(("dialect", "stream"), CALLS)
def test_a_text_is_only_a_text_whatever_it_looks_like(dialect: str, stream: bool, site: Site, figures: Figures) -> None:
    for text in TEXTS:
        streamed = HEAD + chunked(event({"content": text}), event({"content": "!"}), DONE) + END
        site.upstream.script = sends(streamed if stream else response(json.dumps(completion(text)).encode()))
        told = site.ask(dialect, stream)
        assert (told.text, told.done, told.error) == (text + "!" * stream, True, None)
    site.check_books()
    figures(f"0 of {len(TEXTS)} texts that look like the end of an event were taken for one", len(TEXTS))


@pytest.mark.shows("F10", "P16")
@pytest.mark.parametrize(("dialect", "stream"), CALLS)
@pytest.mark.parametrize("status", [200, 400])
def test_no_header_of_a_provider_reaches_a_client(status: int, dialect: str, stream: bool, site: Site) -> None:
    hostile = {
        "set-cookie": "canary=1",
        "x-accel-redirect": "/canary",
        "openai-organization": "canary",
        "x-request-id": "up\x0bset-cookie: canary=1",
        "location": "http://canary.test",
        "server": "canary",
    }
    kind = {} if status == 400 or not stream else {"content-type": "text/event-stream"}
    body = b'{"error": {"message": "no"}}' if status == 400 else b"".join([*HELLO, DONE]) if stream else ANSWER
    site.upstream.script = answers(body, status, {**hostile, **kind})
    told = site.ask(dialect, stream)
    assert told.status == status
    assert "canary" not in str(told.headers)
    site.check_books()


@pytest.mark.shows("P16")
@pytest.mark.parametrize(("dialect", "stream"), CALLS)
def test_a_provider_that_quotes_our_credential_is_not_quoted(
    dialect: str, stream: bool, site: Site, caplog: pytest.LogCaptureFixture, figures: Figures
) -> None:
    caplog.set_level(logging.DEBUG, "gateway")
    error: Any = {"error": {"message": f"Wrong key {CREDENTIAL}", "code": CREDENTIAL, "type": f"x {CREDENTIAL}"}}
    scripts = [
        answers(error, status, {"x-request-id": CREDENTIAL}) for status in (200, 400, 401, 403, 404, 422, 429, 500)
    ]
    late = b"data: " + json.dumps(error).encode() + b"\n\n"
    scripts += [sends(HEAD + chunked(late) + END), sends(HEAD + chunked(HELLO[0], late) + END)] if stream else []
    for script in scripts:
        site.upstream.script = script
        told = site.ask(dialect, stream)
        assert told.error
        assert CREDENTIAL not in f"{told.headers} {told.body!r}"
    site.check_books()
    lines = LineFormatter((Secret(CREDENTIAL),))
    assert not any(CREDENTIAL in lines.format(record) for record in caplog.records)
    figures(f"0 of {len(scripts)} answers that quote the gateway's credential handed it on", len(scripts))
