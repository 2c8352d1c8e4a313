"""What goes over the wire is what Gunicorn's own response sends, in fewer packets; and what it refuses is refused."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.http.wsgi import Response as GunicornResponse

from gateway.server.response import Response

LENGTH = ("Content-Length", "4")
PLAIN = [("Content-Type", "a/b"), ("X-A", " \xe4\tb ")]


class Wire:
    """A connection that takes so many bytes at once."""

    def __init__(self, takes: int = 1_000_000) -> None:
        self.packets: list[bytes] = []
        self._takes = takes

    def send(self, data: bytes) -> int:
        self.packets.append(bytes(data[: self._takes]))
        return len(self.packets[-1])

    def sendall(self, data: Any) -> None:
        self.packets.append(bytes(data))


def respond(
    kind: type[GunicornResponse], wire: Wire, *parts: bytes, status: str = "200 OK", headers: Any = (), method: str = "GET",
    version: tuple[int, int] = (1, 1), close: bool = False,
) -> bytes:  # fmt: skip
    request = SimpleNamespace(method=method, version=version, should_close=lambda: close or version == (1, 0))
    response = kind(request, wire, SimpleNamespace())
    response.start_response(status, [*PLAIN, *headers])
    for part in parts:
        response.write(part)
    response.close()
    return re.sub(rb"Date: [^\r]+ GMT\r\n", b"Date: then\r\n", b"".join(wire.packets), count=1)


@pytest.mark.parametrize(
    "parts", [(), (b"",), (b"abcd",), (b"ab", b"", b"cd"), (b"", b"abcdef"), (b"abcd", b"ef"), (b"ab",)]
)
@pytest.mark.parametrize(
    "headers", [[], [LENGTH], [("Connection", "close"), ("date", "now"), ("Transfer-Encoding", "x")]]
)
@pytest.mark.parametrize(
    "how",
    [{}, {"version": (1, 0)}, {"close": True}, {"method": "HEAD"}, {"status": "204 No Content"}, {"status": "304 Not Modified"},
     {"status": "500 Out of order"}],
)  # fmt: skip
def test_the_bytes_are_gunicorns(parts: tuple[bytes, ...], headers: Any, how: dict[str, Any]) -> None:
    expected = respond(GunicornResponse, Wire(), *parts, headers=headers, **how)
    assert b"Date: then" in expected
    assert respond(Response, Wire(), *parts, headers=headers, **how) == expected
    assert respond(Response, Wire(5), *parts, headers=headers, **how) == expected


def test_an_answer_is_one_packet_and_a_stream_one_for_each_part_and_its_end() -> None:
    answer, stream = Wire(), Wire()
    respond(Response, answer, b"abcd", headers=[LENGTH])
    respond(Response, stream, b"ab", b"cd")
    assert len(answer.packets) == 1
    assert answer.packets[0].endswith(b"\r\n\r\nabcd")
    assert stream.packets[0].endswith(b"\r\n\r\n2\r\nab\r\n")
    assert stream.packets[1:] == [b"2\r\ncd\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize("kind", [Response, GunicornResponse])
@pytest.mark.parametrize(
    ("header", "error"),
    [
        *(
            (("X-A", value), InvalidResponseHeader)
            for value in ("a\r\nSet-Cookie: b", "a\nb", "a\rb", "\0", "\x7f", "\u0100")
        ),
        *(((name, "a"), InvalidResponseHeaderName) for name in ("", "A B", "A:", "A\r\nB", "A\n", "\xe4")),
        ((b"A", "b"), TypeError),
        (("A", b"b"), TypeError),
        (("A", 1), TypeError),
    ],
)
def test_what_is_no_header_is_refused_each_time_and_nothing_sent(kind: Any, header: Any, error: Any) -> None:
    for _ in range(2):
        wire = Wire()
        with pytest.raises(error):
            respond(kind, wire, headers=[header])
        assert wire.packets == []


def test_what_is_no_body_is_refused() -> None:
    with pytest.raises(TypeError):
        respond(Response, Wire(), "text")  # type: ignore[arg-type]


def test_a_part_that_could_not_be_sent_has_begun_the_answer() -> None:
    class Broken(Wire):
        def send(self, data: bytes) -> int:
            raise SystemExit

    response = Response(SimpleNamespace(method="GET", version=(1, 1), should_close=bool), Broken(), SimpleNamespace())
    response.start_response("200 OK", PLAIN)
    with pytest.raises(SystemExit):
        response.write(b"a")
    assert response.headers_sent, "no other answer may follow what has been sent of this one"
