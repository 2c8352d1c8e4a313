"""Whatever is wrong with the cache is a miss, counted, and soon costs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.cache import responses
from gateway.cache.entries import encode
from gateway.cache.responses import ResponseCache
from gateway.model import Answer, CachePolicy, ModelRequest, Target, Usage
from gateway.stores import StoreError
from gateway.wire.openai import read_whole
from tests.fakes.upstream import completion

REQUEST = ModelRequest("chat", None, {"messages": [{"role": "user", "content": "u"}]}, "alice")
USAGE = Usage(5, 4)
BODY = json.dumps(completion("text")).encode()
BOUGHT = Answer(read_whole("chat", BODY), USAGE, 42, Target("openai", "gpt-4o-mini"))


class Store:
    """A backend that fails when told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.fails = False
        self.asked = 0

    def get(self, key: str) -> bytes | None:
        self._work()
        return self.kept.get(key)

    def set(self, key: str, value: bytes, timeout: int) -> bool:
        self._work()
        self.kept[key] = value
        return True

    def _work(self) -> None:
        self.asked += 1
        if self.fails:
            raise StoreError("down")


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(responses, "time", clock)
    return clock


class Watched:
    def __init__(self, ttl: int = 60) -> None:
        self.store = Store()
        self.failures = 0
        self.works = True
        self.cache = ResponseCache(self.store, ttl, self._failed, self._state)

    def _failed(self) -> None:
        self.failures += 1

    def _state(self, works: bool) -> None:
        self.works = works

    def slot(
        self,
        tenant: str = "default",
        policy: CachePolicy = CachePolicy(),  # noqa: B008
        request: ModelRequest = REQUEST,
    ) -> responses.Slot:
        return self.cache.slot(tenant, ["t"], request, policy)


def test_an_answer_that_was_kept_is_given_again_to_its_tenant_alone() -> None:
    watched = Watched()
    watched.slot().put(BOUGHT)
    kept = watched.slot().get()
    assert kept
    assert kept.completion.text == "text"
    assert watched.slot("other").get() is None


@pytest.mark.parametrize(
    ("policy", "reads", "stores"),
    [(CachePolicy(), 1, 1), (CachePolicy(read=False), 0, 1), (CachePolicy(read=False, store=False), 0, 0)],
)
def test_only_what_the_client_allows_is_done(policy: CachePolicy, reads: int, stores: int) -> None:
    watched = Watched()
    watched.slot(policy=policy).get()
    assert watched.store.asked == reads
    watched.slot(policy=policy).put(BOUGHT)
    assert len(watched.store.kept) == stores


def test_without_a_ttl_nothing_is_looked_up_or_kept() -> None:
    watched = Watched(ttl=0)
    watched.slot().put(BOUGHT)
    assert watched.slot().get() is None
    assert watched.store.asked == 0
    assert not watched.slot().policy.read


@pytest.mark.parametrize("reason", [None, "content_filter", "error", "anything"])
def test_an_answer_that_did_not_end_by_itself_is_not_kept(reason: str | None) -> None:
    watched = Watched()
    watched.slot().put(replace(BOUGHT, completion=replace(BOUGHT.completion, finish_reasons=(reason,))))
    assert watched.store.kept == {}


def test_an_answer_that_could_not_be_given_as_a_stream_is_not_kept() -> None:
    watched = Watched()
    deep = BODY[:-1] + b', "x": ' + b"[" * 300 + b"]" * 300 + b"}"
    watched.slot().put(replace(BOUGHT, completion=replace(BOUGHT.completion, body=deep)))
    assert watched.store.kept == {}


@pytest.mark.parametrize(("came", "kept"), [(1, 0), (2, 1)])
def test_an_answer_with_fewer_choices_than_asked_for_is_not_kept(came: int, kept: int) -> None:
    watched = Watched()
    answer = replace(BOUGHT, completion=replace(BOUGHT.completion, finish_reasons=("stop",) * came))
    watched.slot(request=replace(REQUEST, asked={**REQUEST.asked, "n": 2})).put(answer)
    assert len(watched.store.kept) == kept


@pytest.mark.parametrize("damage", [lambda entry: entry[:-3], lambda entry: b"\x80\x05junk", lambda entry: b""])
def test_a_corrupt_entry_is_a_counted_miss_that_the_next_answer_replaces(damage: Callable[[bytes], bytes]) -> None:
    watched = Watched()
    slot = watched.slot()
    watched.store.kept[slot.key] = damage(encode(slot.key, "chat", BOUGHT))
    assert slot.get() is None
    assert (watched.failures, watched.works) == (1, True)
    slot.put(BOUGHT)
    assert slot.get()


def test_an_entry_from_another_place_is_a_miss() -> None:
    watched = Watched()
    mine, theirs = watched.slot(), watched.slot("other")
    watched.store.kept[mine.key] = encode(theirs.key, "chat", BOUGHT)
    assert mine.get() is None


def test_a_failing_store_is_asked_once_and_then_left_alone_for_longer_and_longer(clock: Clock) -> None:
    watched = Watched()
    watched.store.fails = True
    pauses = []
    for _ in range(11):
        asked = watched.store.asked
        assert watched.slot().get() is None
        assert watched.store.asked == asked + 1
        started = clock.now
        while True:
            clock.now += 0.1
            if watched.cache._next_try <= clock.now:
                break
            watched.slot().get()
            watched.slot().put(BOUGHT)
        assert watched.store.asked == asked + 1, "held off"
        pauses.append(clock.now - started)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30], abs=0.11)
    assert (watched.failures, watched.works) == (11, False)


def test_while_one_request_tries_a_failed_store_again_others_do_not(clock: Clock) -> None:
    watched = Watched()
    watched.store.fails = True
    watched.slot().get()
    clock.now += 1
    others: list[int] = []

    def probing(key: str) -> bytes | None:
        watched.slot("other").get()
        others.append(watched.store.asked)
        return None

    asked = watched.store.asked
    watched.store.get = probing  # type: ignore[method-assign]
    watched.slot().get()
    assert others == [asked]


def test_a_store_that_works_again_is_used_again(clock: Clock) -> None:
    watched = Watched()
    watched.store.fails = True
    watched.slot().get()
    watched.store.fails = False
    clock.now += 1
    watched.slot().put(BOUGHT)
    assert watched.works
    assert watched.slot().get()
