"""What comes under a success and is no answer: what it costs, what the operator is told, and what a client never gets."""

from __future__ import annotations

import json

import pytest

from tests.api.books import Books, used
from tests.fakes.upstream import answers, response, sending

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
PAGE = response(b"<html>Sign in to the network</html>", 200, {"content-type": "text/html"})
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'


@pytest.mark.shows("F10")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"error": {"message": "overloaded", "code": "busy"}}, "under a success, busy"),
        ({"error": "overloaded"}, "under a success, no error code"),
        ({"object": "error", "message": "no", "type": "Internal"}, "under a success, Internal"),
    ],
)
def test_an_error_under_a_success_costs_nothing_and_the_log_says_what_it_was(
    said: object, why: str, stream: bool, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    books.limit("tenant:default", "usd/day", "1")
    books.upstream.script = sending([HEAD, b"data: %b\n\n" % json.dumps(said).encode()]) if stream else answers(said)
    assert books.ask(stream=stream).status_code == 502
    assert books.rows("cost_nano, usage_source") == [(0, "counted")]
    assert books.standing() == [(0, 0)]
    assert caplog.records[-1].__dict__["fields"]["tried"] == [f"up/gpt-4o-mini: {why}"]


@pytest.mark.shows("F10")
@pytest.mark.parametrize("stream", [False, True])
def test_a_page_of_a_proxy_costs_nothing(stream: bool, books: Books) -> None:
    books.upstream.script = lambda connection, request: bool(connection.sendall(PAGE)) or True
    assert books.refusal(stream=stream)[:2] == (502, "upstream_error")
    assert books.rows("cost_nano") == [(0,)]


def test_an_answer_that_is_garbled_may_have_been_bought(books: Books) -> None:
    books.upstream.script = answers({"choices": "none"})
    assert books.ask().status_code == 502
    ((cost, source, _),) = books.rows()
    assert (cost > 0, source) == (True, "bound")


def test_of_a_stream_that_broke_the_log_says_where_and_why(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    books.upstream.script = sending([HEAD + CHUNK, b'data: {"error": {"code": "busy"}}\n\n'])
    assert b'"upstream_error"' in books.ask(stream=True).data
    lines = [record.__dict__["fields"] for record in caplog.records if "fields" in record.__dict__]
    assert lines[-1]["tried"] == ["up/gpt-4o-mini: busy"]


@pytest.mark.shows("P16")
def test_what_stands_between_the_events_of_a_stream_reaches_no_client(books: Books) -> None:
    secret = b"sk-between-the-events"
    between = b": %b\n\nretry: 1\n\n<p>%b</p>\n\nid: %b\nevent: chunk\n" % (secret, secret, secret)
    books.upstream.script = sending([HEAD, between, CHUNK, between, CHUNK, b"data: [DONE]\n\n"])
    assert books.ask(stream=True).data == 2 * CHUNK + b"data: [DONE]\n\n"


@pytest.mark.parametrize("more", [{}, {"foo": 1}, {"max_tokens": None}])
def test_no_provider_is_believed_that_a_prompt_took_more_tokens_than_it_has_bytes(
    more: dict[str, object], books: Books
) -> None:
    books.upstream.script = answers(used(900_000_000, 3))
    books.ask(**more)
    ((prompt, suspect),) = books.rows("prompt_tokens, usage_suspect")
    most = 10_000_000 if "foo" in more else 1000
    assert (prompt <= most, suspect) == (True, 1), "an unknown field may refer to more than it says"
