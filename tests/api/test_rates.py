"""Limits per second to hour and on calls in flight, as clients meet them."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from gateway.accounting.ledger import Ledger
from gateway.concurrency import Task
from tests.api.books import FILE, Books, used
from tests.conftest import KEY
from tests.fakes.upstream import Received, Upstream, answers

KEY_DIGEST = hashlib.sha256(KEY.encode()).hexdigest()[:8]
PROMPT = {"messages": [{"role": "user", "content": "Hello"}]}


def test_a_spent_limit_says_when_there_is_room_again(books: Books) -> None:
    books.limit("tenant:default", "requests/minute", "2")
    assert [books.ask().status_code for _ in range(2)] == [200, 200]
    refused = books.ask()
    assert refused.status_code == 429
    assert refused.json
    error = refused.json["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert error["limit"] == {
        "subject": "tenant:default", "unit": "requests", "period": "minute", "limit": 2, "used": 2, "held": 0,
        "reset": error["limit"]["reset"],
    }  # fmt: skip
    assert error["message"].startswith(
        "The limit of 2 requests in any minute for tenant:default has no room for this call, which may take up to 1 "
        "request: 2 requests used. There is more room at "
    )
    assert 60 <= int(refused.headers["Retry-After"]) <= 62
    assert "x-should-retry" not in refused.headers
    assert len(books.sent) == 2
    assert len(books.rows()) == 2


def test_headers_tell_the_tightest_limit_of_each_unit(books: Books) -> None:
    books.limit("tenant:default", "requests/minute", "10")
    books.limit("global", "requests/day", "5")
    books.limit("global", "requests/hour", "100", "soft")
    books.limit("tenant:default", "tokens/hour", "100000")
    headers = books.ask().headers
    assert headers["x-ratelimit-limit-requests"] == "5"
    assert headers["x-ratelimit-remaining-requests"] == "4"
    assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", headers["x-ratelimit-reset-requests"])
    assert headers["x-ratelimit-limit-tokens"] == "100000"
    assert headers["x-ratelimit-remaining-tokens"] == str(100_000 - 11), "what it took, not what it held"
    assert headers["x-ratelimit-reset-tokens"] == "1h1m0s"


def test_there_are_no_headers_without_limits(books: Books) -> None:
    books.limit("tenant:other", "requests/minute", "10")
    assert not [name for name, _ in books.ask().headers if name.startswith("x-ratelimit")]


def test_a_refusal_has_the_headers_too(books: Books) -> None:
    books.limit("tenant:default", "requests/minute", "1")
    books.ask()
    assert books.ask().headers["x-ratelimit-remaining-requests"] == "0"


def test_tokens_are_given_back_to_what_was_used(books: Books) -> None:
    books.limit("tenant:default", "tokens/minute", "1000")
    bound = 1000 - int(books.ask(stream=True).headers["x-ratelimit-remaining-tokens"])
    assert bound > 11, "a stream's headers tell what is held"
    remaining = [int(books.ask().headers["x-ratelimit-remaining-tokens"]) for _ in range(3)]
    assert [before - after for before, after in pairwise(remaining)] == [11, 11]


def test_a_failed_call_gives_its_tokens_back_and_counts_as_a_request(books: Books) -> None:
    books.limit("tenant:default", "tokens/minute", "1000")
    books.limit("tenant:default", "requests/minute", "10")
    books.upstream.script = answers({"error": {"message": "no"}}, status=400)
    books.ask()
    books.upstream.script = answers(used(8, 3))
    headers = books.ask().headers
    assert headers["x-ratelimit-remaining-tokens"] == str(1000 - 11)
    assert headers["x-ratelimit-remaining-requests"] == "8"


def test_an_answer_from_the_cache_counts_as_a_request_and_takes_no_tokens(
    make_app: Callable[..., Flask], upstream: Upstream, ledger_file: Path
) -> None:
    upstream.script = answers(used(8, 3))
    app = make_app(FILE.format(url=upstream.base_url), MODEL_NAME="m", CACHE_TTL="60")
    books = Books(app.test_client(), upstream, ledger_file)
    books.limit("tenant:default", "tokens/minute", "1000")
    books.limit("tenant:default", "requests/minute", "10")
    headers = [books.ask().headers for _ in range(2)]
    assert [each["x-gateway-cache"] for each in headers] == ["miss", "hit"]
    assert [each["x-ratelimit-remaining-tokens"] for each in headers] == ["989", "989"]
    assert [each["x-ratelimit-remaining-requests"] for each in headers] == ["9", "8"]


def test_a_call_that_could_never_fit_is_told_so(books: Books) -> None:
    books.limit("tenant:default", "tokens/minute", "50")
    refused = books.ask(max_tokens=5000)
    assert refused.status_code == 429
    assert refused.headers["x-should-retry"] == "false"
    assert refused.json
    assert "more than the whole limit" in refused.json["error"]["message"]
    assert books.sent == []


def test_a_hard_limit_of_tokens_clamps_the_answer_and_refuses_what_has_no_bound(books: Books) -> None:
    books.limit("tenant:default", "tokens/hour", "100000")
    assert books.ask(model="capped", max_tokens=None).status_code == 200
    assert books.sent[0]["max_completion_tokens" if "max_completion_tokens" in books.sent[0] else "max_tokens"] == 50
    assert books.refusal(web_search_options={})[:2] == (400, "invalid_value")


def test_other_limits_leave_the_request_as_it_is(books: Books) -> None:
    books.limit("tenant:default", "tokens/hour", "1000000", "firm")
    books.limit("tenant:default", "tokens/minute", "1000000", "soft")
    books.limit("tenant:default", "requests/hour", "1000000")
    assert books.ask(model="capped", max_tokens=None).status_code == 200
    assert books.sent[0].keys() & {"max_completion_tokens", "max_tokens"} <= {"max_tokens"}
    assert books.sent[0].get("max_tokens") is None


def test_a_call_that_the_ledger_refuses_leaves_the_counters_as_they_were(books: Books) -> None:
    books.limit("tenant:default", "requests/minute", "10")
    books.limit("tenant:default", "concurrency", "1")
    books.limit("tenant:default", "usd/day", "0.000000001")
    assert books.ask().status_code == books.ask().status_code == 429
    books.limit("tenant:default", "usd/day", "1")
    assert books.ask().headers["x-ratelimit-remaining-requests"] == "9"


def test_no_more_calls_are_in_flight_than_may_be(books: Books) -> None:
    books.limit("key:env-" + KEY_DIGEST, "concurrency", "1")
    asked, go_on, answer = threading.Event(), threading.Event(), books.upstream.script

    def held_open(connection: socket.socket, received: Received) -> bool:
        asked.set()
        go_on.wait(0.4)
        return answer(connection, received)

    books.upstream.script = held_open
    running = Task(books.ask)
    assert asked.wait(5)
    refused = books.ask()
    assert refused.status_code == 429
    assert refused.json
    assert refused.json["error"]["limit"]["unit"] == "concurrency"
    assert refused.json["error"]["limit"]["period"] is None
    assert refused.json["error"]["message"].startswith("The limit of 1 call at once for key:env-")
    assert refused.headers["Retry-After"] == "1"
    go_on.set()
    running.wait()
    assert running.result().status_code == 200
    assert [books.ask().status_code for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize("status", [400, 500, 200])
def test_every_way_out_frees_the_place(status: int, books: Books) -> None:
    books.limit("tenant:default", "concurrency", "1")
    books.upstream.script = answers(b"<html>", status=status)
    for _ in range(3):
        assert books.ask(stream=status == 200).status_code != 429


def test_a_stream_keeps_its_place_until_its_end(books: Books) -> None:
    books.limit("tenant:default", "concurrency", "1")
    body = {**PROMPT, "max_tokens": 10, "stream": True}
    stream = books.client.post("/v1/chat/completions", json=body, headers={"x-api-key": KEY})
    assert books.ask().status_code == 429
    stream.close()
    assert books.ask().status_code == 200


def test_each_user_has_a_limit_of_its_own(books: Books) -> None:
    books.limit("user:*@default", "requests/minute", "1")
    assert [books.ask(user=user).status_code for user in ("ann", "bob", "ann")] == [200, 200, 429]
    refused = books.ask(user="bob")
    assert refused.json
    assert refused.json["error"]["limit"]["subject"] == "user:bob@default"


def test_two_joined_subjects_bear_on_calls_of_both(books: Books) -> None:
    books.limit("tenant:default+model:open", "requests/minute", "1")
    assert [books.ask(model=model).status_code for model in ("open", "m", "open")] == [200, 200, 429]


def test_a_key_is_told_its_limits_and_how_they_stand(books: Books) -> None:
    key = books.key(models=["m"])
    key_id = key.split("_")[1]
    books.limit(f"key:{key_id}", "usd/month", "1")
    books.limit("tenant:default", "requests/minute", "10")
    books.limit("user:*@default", "tokens/hour", "10000")
    books.limit("key:another", "usd/month", "1")
    books.limit("tenant:other", "requests/minute", "1")
    books.ask(key, user="ann")

    def told(query: str = "") -> list[tuple[object, ...]]:
        answer = books.client.get(f"/v1/usage/me{query}", headers={"x-api-key": key}).json
        assert answer
        assert (answer["tenant"], answer["key_id"], answer["models"]) == ("default", key_id, ["m"])
        return [
            tuple(limit[name] for name in ("subject", "unit", "spent", "held", "left")) for limit in answer["limits"]
        ]

    mine = [
        (f"key:{key_id}", "usd", 0.000000014, 0, 0.999999986),
        ("tenant:default", "requests", 1, 0, 9),
    ]
    books.limit("model:open", "usd/month", "1")
    assert told() == [*mine, ("user:*@default", "tokens", 0, 0, 10_000)], "no model that it may not ask for"
    assert told("?user_id=ann") == [*mine, ("user:ann@default", "tokens", 11, 0, 9989)]
    assert told("?user_id=bob") == [*mine, ("user:bob@default", "tokens", 0, 0, 10_000)]


def test_a_call_whose_settlement_fails_frees_its_own_place_and_no_other(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.limit("tenant:default", "concurrency", "3")
    body = {**PROMPT, "max_tokens": 10, "stream": True}
    stream = books.client.post("/v1/chat/completions", json=body, headers={"x-api-key": KEY})
    settle, failures = Ledger.settle_later, [RuntimeError("a bug")]

    def failing(self: Ledger, *args: Any) -> Any:
        if failures:
            raise failures.pop()
        return settle(self, *args)

    monkeypatch.setattr(Ledger, "settle_later", failing)
    assert books.ask().status_code == 500
    told = books.client.get("/v1/usage/me", headers={"x-api-key": KEY}).json
    assert told
    assert [limit["spent"] for limit in told["limits"]] == [1], "the stream's"
    stream.close()
