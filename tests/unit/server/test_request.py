"""Whatever is sent, our parser and environ make of it what Gunicorn's own make of it; they only take fewer steps."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request as GunicornRequest
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import IterUnreader

from gateway.api.body import HAS_BODY
from gateway.server import request
from gateway.server.request import Parser, Request, create

REFUSALS = (ParseException, OSError, StopIteration)
CLIENT, SERVER = ("127.0.0.1", 50_000), ("127.0.0.1", 8_000)
SOUND = [
    b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a%20b/?c=d&e=?f HTTP/1.1\r\nHOST:x \r\nX-A:\r\nx-b: \t\xe4:b \r\nConnection: Close\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabcGET / HTTP",
    b"CONNECT /x HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\n\r\n",
]
DOUBTFUL = [
    *(b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % line
      for line in (b"Host: y", b"A-B: c\r\na-b: d", b"A_B: c", b" a", b":", b"A b: c", b"A: b\nC: d", b"A: b\rC: d", b"A: \0",
                   b"Expect: 100-continue", b"Expect: tea", b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0", b"Content-Length:",
                   b"Transfer-Encoding: gzip", b"Content-Length: +1", b"Content-Length: \xb2", b"Content-Length: 1\r\nContent-Length: 1",
                   b"Content-Length: 9999999999999999", b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off",
                   b"\r\n".join(b"A-%d: b" % number for number in range(64)), b"A: " + b"b" * 8_185, b"A: " + b"b" * 8_189)),
    *(b"%b\r\nHost: x\r\n\r\n" % line
      for line in (b"get / HTTP/1.1", b"G / HTTP/1.1", b"GET  / HTTP/1.1", b"GET / HTTP/1.0", b"GET / HTTP/1.1 ", b"GET /\xe4 HTTP/1.1",
                   b"GET //a/b HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET http://y/ HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1",
                   b"\r\nGET / HTTP/1.1", b"GET / HTTP/2.0", b"GET /" + b"a" * 4_080 + b" HTTP/1.1", b"GET /" + b"a" * 4_081 + b" HTTP/1.1")),
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x", b"", b"\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n",
]  # fmt: skip


@pytest.fixture
def cfg() -> Config:
    cfg = Config()
    for name, value in [("limit_request_line", 4_094), ("limit_request_fields", 64), ("header_map", "refuse")]:
        cfg.set(name, value)
    return cfg


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    request._same.clear()
    yield
    request._same.clear()


def read(kind: type[GunicornRequest], cfg: Config, *pieces: bytes, client: Any = CLIENT) -> Any:
    """What a request says, its body, and what is left on the connection; or what is wrong with it."""
    unreader = IterUnreader(pieces)
    try:
        found = kind(cfg, unreader, client)
        line = (found.method, found.uri, found.path, found.query, found.fragment, found.version, found.scheme)
        return line, found.headers, found.should_close(), found.body.read(), unreader.read()
    except REFUSALS as error:
        return type(error)


def test_a_sound_head_is_read_by_the_one_pattern_and_no_other_one(cfg: Config) -> None:
    assert all(Request(cfg, IterUnreader([head]), CLIENT).fields for head in SOUND)
    for head in DOUBTFUL:
        with contextlib.suppress(*REFUSALS):
            assert Request(cfg, IterUnreader([head]), CLIENT).fields is None, head


@pytest.mark.parametrize("client", [CLIENT, ("10.0.0.1", 1)])
@pytest.mark.parametrize("head", SOUND + DOUBTFUL)
def test_a_head_says_what_gunicorn_reads_in_it_however_it_comes(head: bytes, client: Any, cfg: Config) -> None:
    expected = read(GunicornRequest, cfg, head, client=client)
    assert read(Request, cfg, head, client=client) == expected
    for cut in range(1, min(len(head), 80)):
        pieces = head[:cut], head[cut:]
        assert read(Request, cfg, *pieces, client=client) == read(GunicornRequest, cfg, *pieces, client=client)


def test_a_head_with_anything_changed_in_it_says_what_gunicorn_reads_in_it(cfg: Config) -> None:
    dice, taken = random.Random(1), 0
    pieces = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"_", b"\0", b"\x0b", b"\x7f", b"\x85", b"\xa0", b"\xff", b"0", b"a",
              b"\r\n ", b"\r\nHost: y", b"\r\nContent-Length: 2", b"\r\nTransfer-Encoding: chunked", b"#", b"//", b"?"]  # fmt: skip
    for _ in range(20_000):
        head = bytearray(dice.choice(SOUND * 10 + DOUBTFUL[:20]))
        for _ in range(dice.choice((1, 1, 2))):
            at = dice.randrange(len(head) + 1)
            head[at : at + dice.choice((0, 0, 1, 2))] = dice.choice(pieces)
        sent = bytes(head)
        outcome = read(Request, cfg, sent)
        assert outcome == read(GunicornRequest, cfg, sent), sent
        taken += isinstance(outcome, tuple)
    assert 2_000 < taken < 18_000


@pytest.mark.parametrize("head", SOUND)
def test_an_environ_says_what_gunicorns_says(head: bytes, cfg: Config) -> None:
    first, second = (Parser(cfg, iter([SOUND[0] + head]), CLIENT) for _ in range(2))
    create(next(first), None, CLIENT, SERVER, cfg)
    assert SERVER in request._same
    ours, theirs = next(first), next(second) and next(second)
    expected = request._gunicorns_environ(theirs, None, CLIENT, SERVER, cfg)[1]
    environ = create(ours, None, CLIENT, SERVER, cfg)[1]
    assert environ.pop("wsgi.input") is ours.body
    assert environ.pop(HAS_BODY) is True
    unlike = {"wsgi.input", "wsgi.errors", "wsgi.early_hints"}  # of these the last is asked for by nobody
    assert {name: value for name, value in expected.items() if name not in unlike} == {
        name: value for name, value in environ.items() if name not in unlike
    }


@pytest.mark.parametrize("is_read", [True, False])
def test_bodies_and_requests_are_told_apart_however_their_bytes_come(cfg: Config, is_read: bool) -> None:
    head = b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    sent = b"".join(head % number + b"body%d" % number for number in range(3))
    whole = 0
    for at in range(1, len(sent)):
        parser = Parser(cfg, iter([sent[:at], sent[at:]]), CLIENT)
        for number in range(3):
            found = next(parser)
            assert found.uri == f"/{number}"
            whole += found.has_body
            if is_read:
                assert found.body.read(5) + found.body.read() == b"body%d" % number
                assert not found.body.failed
    assert 0 < whole < 3 * len(sent), "some came with their heads, and some did not"


def test_what_one_request_says_of_its_scheme_holds_for_no_other(cfg: Config) -> None:
    parser = Parser(
        cfg, iter([SOUND[0].replace(b"\r\n\r\n", b"\r\nX-Forwarded-Proto: https\r\n\r\n") + SOUND[0]]), CLIENT
    )
    schemes = [create(next(parser), None, CLIENT, SERVER, cfg)[1]["wsgi.url_scheme"] for _ in range(2)]
    assert schemes == ["https", "http"]


def test_a_script_name_of_the_operators_goes_on_to_count(cfg: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRIPT_NAME", "/a")
    parser = Parser(cfg, iter([SOUND[0].replace(b"/health", b"/a/b") * 2]), CLIENT)
    for _ in range(2):
        environ = create(next(parser), None, CLIENT, SERVER, cfg)[1]
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/a", "/b")


@pytest.mark.parametrize("kind", [Parser, RequestParser])
@pytest.mark.parametrize(
    "body", [b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("most", [0, 2, 3, 4])
def test_what_an_application_leaves_of_a_body_is_no_request(kind: Any, body: bytes, most: int, cfg: Config) -> None:
    parser = kind(cfg, iter([b"POST / HTTP/1.1\r\nHost: x\r\n" + body + SOUND[0]]), CLIENT)
    assert next(parser).body.read(most) == b"abc"[:most]
    assert next(parser).path == "/health"


def test_what_an_application_complains_of_goes_where_gunicorns_log_goes(
    cfg: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg.set("errorlog", "-")
    parser = Parser(cfg, iter([SOUND[0] * 2]), CLIENT)
    environs = [create(next(parser), None, CLIENT, SERVER, cfg)[1] for _ in range(2)]
    environs[1]["wsgi.errors"].writelines(["a", "b"])
    environs[1]["wsgi.errors"].flush()
    assert capsys.readouterr().err == "ab"


def test_gunicorn_uses_them() -> None:
    from gunicorn import http

    from gateway.server.worker import install

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "RequestParser", RequestParser)
        patch.setattr(wsgi, "create", wsgi.create)
        install()
        assert (http.RequestParser, wsgi.create) == (Parser, create)
