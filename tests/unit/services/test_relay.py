"""A streamed answer is settled exactly once, whatever happens on its way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.concurrency import Task
from gateway.errors import ClientLeft, GatewayError, UpstreamError
from gateway.model import Answer, CachePolicy, Caller, Completion, Dialect, ModelRequest, Target, Usage
from gateway.services import relay as relays
from gateway.services.exchange import Exchange
from gateway.services.relay import Opened, Relay
from gateway.telemetry.record import RequestRecord

TARGET = Target("up", "m")


class Stream:
    """Yields these blocks, then fails if it is to."""

    upstream_request_id: str | None = None
    dialect: Dialect = "openai"

    def __init__(self, *blocks: bytes, error: GatewayError | None = None) -> None:
        self._given = blocks
        self._error = error
        self.text = ""
        self.left = 0

    def blocks(self) -> Iterator[bytes]:
        for block in self._given:
            self.text += block.decode()
            yield block
        if self._error:
            raise self._error

    def leave(self) -> None:
        self.left += 1

    def completion(self) -> Completion:
        return Completion(b"", text=self.text)


class Writer:
    def events(self, block: bytes, dialect: Dialect) -> bytes:
        return block.replace(b"hidden", b"")

    def end(self, answer: Answer) -> bytes:
        return b"<end %b>" % answer.completion.text.encode()

    def error(self, error: GatewayError) -> bytes:
        return b"<%b>" % error.code.encode()


class Call:
    """A relay of a stream, and its settlements."""

    def __init__(
        self, stream: Stream, opening: Callable[[], object] = lambda: None, client: socket.socket | None = None
    ) -> None:
        self.settled: list[tuple[str, str | None]] = []
        self.record = RequestRecord("r-1", "POST", "/")
        self.stream = stream

        def close(completion: Completion, error: GatewayError | None) -> Answer:
            self.settled.append((completion.text, error.code if error else None))
            return Answer(completion, Usage(1, 1), 0, TARGET)

        def open_stream() -> Opened:
            opening()
            return Opened(stream, close)

        request = ModelRequest("chat", None, {})
        exchange = Exchange(request, Caller("t", "k"), CachePolicy(), self.record, client=client)
        self.relay = Relay(Task(open_stream), Writer(), exchange)


def test_a_whole_stream_is_settled_before_its_end_is_told() -> None:
    call = Call(Stream(b"a", b"b"))
    assert call.relay.start()
    assert [next(call.relay), next(call.relay)] == [b"a", b"b"]
    assert call.settled == []
    assert next(call.relay) == b"<end ab>"
    assert call.settled == [("ab", None)]
    assert list(call.relay) == []
    call.relay.close()
    call.relay.close()
    assert (call.settled, call.stream.left) == ([("ab", None)], 0)


def test_a_stream_that_breaks_ends_with_an_error_and_is_settled_with_what_came() -> None:
    call = Call(Stream(b"a", error=UpstreamError("x")))
    assert list(call.relay) == [b"a", b"<upstream_error>"]
    call.relay.close()
    assert call.settled == [("a", "upstream_error")]
    assert call.record.error_code == "upstream_error"


def test_a_stream_that_ends_with_the_providers_own_word_of_it_ends_with_that_alone() -> None:
    error = UpstreamError("x")
    error.last_event = b"own"
    call = Call(Stream(b"a", error=error))
    assert [next(call.relay), next(call.relay)] == [b"a", b"own"]
    assert call.settled == [("a", "upstream_error")]
    assert list(call.relay) == []


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_client_that_leaves_at_any_moment_is_settled_once_with_what_was_delivered(taken: int) -> None:
    call = Call(Stream(b"a", b"b", b"c"))
    for _ in range(taken):
        next(call.relay)
    call.relay.close()
    call.relay.close()
    assert call.settled == [("abc"[:taken], "client_left")]
    assert (call.stream.left, call.record.error_code) == (1, "client_left")


def test_a_stream_that_the_gateway_itself_ends_is_not_the_clients_doing() -> None:
    here, there = socket.socketpair()
    with here, there:
        call = Call(Stream(b"a", b"b"), client=here)
        next(call.relay)
        call.relay.close()
    assert call.settled == [("a", "cut_off")]


def test_a_client_that_leaves_after_the_last_event_and_before_its_end_got_it_all() -> None:
    call = Call(Stream(b"a"))
    next(call.relay), next(call.relay)
    call.relay.close()
    assert call.settled == [("a", None)]


def test_what_fails_before_the_first_event_is_raised_and_settled_nowhere_else() -> None:
    def fail() -> None:
        raise UpstreamError("down")

    call = Call(Stream(), fail)
    with pytest.raises(UpstreamError):
        call.relay.start()
    call.relay.close()
    assert call.settled == []


def test_while_the_provider_is_silent_the_client_gets_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "HEARTBEAT", 0.1)
    silent = threading.Event()

    class Slow(Stream):
        def blocks(self) -> Iterator[bytes]:
            for block in super().blocks():
                yield block
                time.sleep(0.06)

    call = Call(Slow(b"a", b"", b"hidden", b"", b"b"), lambda: silent.wait(5))
    assert not call.relay.start()
    assert [next(call.relay), next(call.relay)] == [b": ping\n\n"] * 2
    assert call.record.ttft_ms is None
    silent.set()
    time.sleep(0.05)
    assert list(call.relay) == [b"a", b": ping\n\n", b"b", b"<end ahiddenb>"]
    assert call.record.ttft_ms is not None


def test_headers_do_not_wait_for_something_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(Stream(b"hidden", b"hidden", b"a"))
    assert next(call.relay) == b": ping\n\n"
    assert call.record.ttft_ms is None
    assert list(call.relay) == [b"a", b"<end hiddenhiddena>"]
    assert call.record.ttft_ms is not None


def test_what_fails_after_a_sign_of_life_ends_the_stream_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "HEARTBEAT", 0.05)

    def fail() -> None:
        time.sleep(0.2)
        raise UpstreamError("down")

    call = Call(Stream(), fail)
    assert not call.relay.start()
    parts = list(call.relay)
    assert (parts[0], parts[-1]) == (b": ping\n\n", b"<upstream_error>")
    assert call.record.error_code == "upstream_error"


def test_a_client_that_leaves_before_the_stream_is_open_is_settled_when_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "HEARTBEAT", 0.05)
    call = Call(Stream(b"a"), lambda: time.sleep(0.3))
    assert not call.relay.start()
    next(call.relay)
    call.relay.close()
    assert call.settled == [("", "client_left")]


def test_events_that_say_nothing_in_the_clients_dialect_are_left_out() -> None:
    assert list(Call(Stream(b"a", b"hidden", b"b")).relay) == [b"a", b"b", b"<end ahiddenb>"]


def test_a_client_that_a_stream_finds_gone_is_settled_as_one_that_left() -> None:
    call = Call(Stream(b"a", error=ClientLeft()))
    list(call.relay)
    call.relay.close()
    assert call.settled == [("a", "client_left")]


def test_the_rest_may_still_be_read_when_the_client_has_left() -> None:
    class Draining(Stream):
        def leave(self) -> None:
            super().leave()
            for _ in self.under_way:
                pass

        def blocks(self) -> Iterator[bytes]:
            self.under_way = super().blocks()
            yield from self.under_way

    call = Call(Draining(b"a", b"b", b"c"))
    next(call.relay)
    call.relay.close()
    assert call.settled == [("abc", "client_left")]


def test_a_crash_on_the_way_is_settled_too_with_what_was_delivered() -> None:
    class Crashing(Stream):
        def blocks(self) -> Iterator[bytes]:
            yield from super().blocks()
            raise RecursionError

    call = Call(Crashing(b"a"))
    assert list(call.relay) == [b"a", b"<internal_error>"]
    call.relay.close()
    assert call.settled == [("a", "internal_error")]
    assert call.stream.left == 1


def test_a_crash_while_it_is_opened_is_told() -> None:
    def opening() -> None:
        time.sleep(0.05)
        raise ZeroDivisionError

    call = Call(Stream(b"a"), opening)
    assert b"".join(call.relay).replace(b": ping\n\n", b"") == b"<internal_error>"
    assert call.settled == []


def test_a_crash_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Crashing(Stream):
        def completion(self) -> Completion:
            raise ZeroDivisionError

    call = Call(Crashing(b"a"))
    assert list(call.relay) == [b"a", b"<internal_error>"]
    call.relay.close()
    assert call.record.error_code == "internal_error"
    assert "unhandled exception" in caplog.text
