"""Limits as clients meet them: who is refused, what is said, and what leaves for the provider."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.api.books import CHAT, FILE, GOOD, Books, used
from tests.fakes.upstream import Upstream, answers, sending

COST = "0.000000014"  # of the upstream's 8 and 3 tokens


def test_a_call_costs_its_budget_what_it_took_and_nothing_stays_held(books: Books) -> None:
    books.limit("tenant:default", "usd/day", "1")
    assert books.ask().headers["x-gateway-cost-usd"] == COST
    assert books.standing() == [(14, 0)]
    assert books.rows() == [(14, "provider", None)]


def test_a_spent_budget_refuses_with_a_sentence_that_says_it_all(books: Books) -> None:
    books.limit("tenant:default", "usd/day", COST)
    books.limit("user:ann@default", "requests/total", "0")
    refused = books.ask()
    assert refused.status_code == 429
    assert refused.headers["x-should-retry"] == "false"
    assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
    assert refused.json
    error = refused.json["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert '"limit":0.000000014,"used":0,"held":0' in refused.text
    assert {name: error["limit"][name] for name in ("subject", "unit", "period")} == {
        "subject": "tenant:default",
        "unit": "usd",
        "period": "day",
    }
    assert error["limit"]["reset"].endswith("T00:00:00Z")
    assert error["message"].startswith(
        "The limit of 0.000000014 USD a day for tenant:default has no room for this call"
    )
    named = books.ask(user="ann", model="open")
    assert named.json
    assert named.json["error"]["limit"]["subject"] in ("user:ann@default", "tenant:default")
    assert books.sent == []
    assert books.rows() == [], "what is refused before a hold has no row"


def test_where_only_calls_in_flight_stand_in_the_way_trying_again_helps(books: Books, upstream: Upstream) -> None:
    books.limit("global", "requests/day", "1")
    books.limit("tenant:default", "usd/day", "0.000001")
    answered = answers(used(8, 3))
    begun, go_on = threading.Event(), threading.Event()

    def held_open(connection: Any, request: Any) -> bool:
        begun.set()
        go_on.wait(5)
        return answered(connection, request)

    upstream.script = held_open
    first = threading.Thread(target=books.ask)
    first.start()
    assert begun.wait(5)
    assert books.refusal()[:2] == (429, "budget_held")
    refused = books.ask()
    assert refused.json
    assert (refused.headers["Retry-After"], refused.headers.get("x-should-retry")) == ("1", None)
    assert (refused.json["error"]["limit"]["used"], refused.json["error"]["limit"]["held"]) == (0, 1)
    go_on.set()
    first.join()
    assert books.refusal()[:2] == (429, "insufficient_quota")


@pytest.mark.parametrize("mode", ["hard", "firm", "soft", None])
def test_a_cap_is_set_where_a_hard_limit_bears_and_nowhere_else(mode: str | None, books: Books) -> None:
    if mode:
        books.limit("model:capped", "usd/day", "1", mode)
    books.limit("model:m", "tokens/day", "1000000")
    for asked in ({}, {"max_tokens": 20}, {"max_tokens": 90}, {"max_completion_tokens": 90}):
        body = {**CHAT, "model": "capped", **asked}
        assert books.client.post("/v1/chat/completions", json=body, headers=GOOD).status_code == 200
    caps = [(body.get("max_tokens"), body.get("max_completion_tokens")) for body in books.sent]
    if mode == "hard":
        assert caps == [(50, None), (20, None), (50, None), (None, 50)]
    else:
        assert caps == [(None, None), (20, None), (90, None), (None, 90)]


@pytest.mark.parametrize("mode", ["hard", "firm", "soft"])
@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"max_tokens": None, "model": "open"}, "max_tokens"),
        ({"new_field": 1}, "new_field"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y"}}]}]},
            "messages",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "data:video/mp4;base64,AA"}]}
                ]
            },
            "messages",
        ),
    ],
)
def test_what_has_no_bound_is_refused_under_a_hard_limit_alone(
    mode: str, asked: dict[str, Any], param: str, books: Books
) -> None:
    books.limit("tenant:default", "usd/month", "1000", mode)
    if mode == "hard":
        status, _, named = books.refusal(**asked)
        assert (status, named, books.sent) == (400, param, [])
    else:
        assert books.ask(**asked).status_code == 200


def test_what_has_no_price_is_refused_under_a_hard_limit_in_usd_alone(books: Books) -> None:
    books.limit("tenant:default", "tokens/day", "1000000")
    assert books.ask(model="up/unheard-of").status_code == 200
    books.limit("tenant:default", "usd/day", "1", "firm")
    assert books.ask(model="up/unheard-of").status_code == 200
    books.limit("tenant:default", "usd/day", "1")
    assert books.refusal(model="up/unheard-of") == (400, "invalid_value", "model")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "refusal": None, "audio": None, "annotations": [], "tool_calls": None},
        {"role": "assistant", "content": "x", "reasoning_content": "because", "prefix": True},
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
    ],
)
def test_what_a_conversation_holds_anyway_is_bounded(message: dict[str, Any], books: Books) -> None:
    books.limit("tenant:default", "usd/month", "1000")
    assert books.ask(messages=[*CHAT["messages"], message]).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("completions", {"prompt": "x", "max_completion_tokens": -(10**12)}),
        ("completions", {"prompt": "x", "max_completion_tokens": "a", "messages": 5}),
        ("embeddings", {"input": "x", "max_tokens": 1.3, "messages": 5}),
    ],
)
def test_a_name_that_only_another_operation_knows_bounds_nothing(path: str, body: dict[str, Any], books: Books) -> None:
    books.limit("tenant:default", "usd/day", "1", "firm")
    books.upstream.script = sending([b""], pause=1, stay=False)
    headers = {**GOOD, "x-gateway-timeout-ms": "300"}
    answer = books.client.post(f"/v1/{path}", json={"model": "m", **body}, headers=headers)
    assert answer.status_code == 504
    ((prompt, completion, cost),) = books.rows("prompt_tokens, completion_tokens, cost_nano")
    assert (prompt > 0, completion >= 0, cost) == (True, True, prompt + 2 * completion)


def test_of_two_caps_neither_is_made_larger(books: Books) -> None:
    books.limit("tenant:default", "usd/day", "1")
    books.ask(model="capped", max_tokens=5000, max_completion_tokens=9)
    books.ask(model="capped", max_tokens=9, max_completion_tokens=5000)
    assert [(body["max_tokens"], body["max_completion_tokens"]) for body in books.sent] == [(50, 9), (9, 50)]


def test_a_vendor_is_told_the_cap_by_the_name_that_it_knows(
    make_app: Callable[..., Flask], upstream: Upstream, ledger_file: Path
) -> None:
    upstream.script = answers(used(8, 3))
    file = FILE.replace("up: {{kind: openai", "up: {{kind: mistral, api_key: k").format(url=upstream.base_url)
    books = Books(make_app(file, MODEL_NAME="m", CACHE_TTL="0").test_client(), upstream, ledger_file)
    books.limit("tenant:default", "tokens/day", "100000")
    books.ask(max_tokens=None, max_completion_tokens=1)
    assert [(body["max_tokens"], body["max_completion_tokens"]) for body in books.sent] == [(1, 1)]


def test_a_fallback_counts_as_a_request_to_the_model_that_answers(books: Books, upstream: Upstream) -> None:
    books.limit("model:dear", "requests/day", "1")
    good, bad = answers(used(8, 3)), answers({"error": {}}, 500)
    upstream.script = lambda connection, request: (bad if len(upstream.received) % 2 else good)(connection, request)
    assert [books.ask(model="falls").status_code for _ in range(2)] == [200, 429]
    assert books.standing() == [(1, 0)]


def test_inference_says_422_for_what_has_no_bound(books: Books) -> None:
    books.limit("global", "usd/day", "1")
    asked = {"prompt": "Hi", "user_id": "u", "model": "open"}
    assert books.client.post("/inference", json=asked, headers=GOOD).status_code == 422
    assert books.client.post("/inference", json={**asked, "max_tokens": 5}, headers=GOOD).status_code == 200


def test_where_bytes_would_refuse_the_prompt_is_counted(books: Books) -> None:
    long = {"messages": [{"role": "user", "content": "hello " * 400}]}
    books.limit("model:m", "tokens/day", "1500")
    books.limit("model:open", "tokens/day", "1500")
    assert books.ask(**long).status_code == 200, "400 tokens, and gpt-4o-mini's tokenizer is known"
    assert books.refusal(**long, model="open")[:2] == (429, "insufficient_quota")


def test_a_firm_limit_learns_what_calls_cost(books: Books) -> None:
    books.limit("tenant:default", "usd/day", "0.00001", "firm")
    large = {"max_tokens": 4000}
    assert [books.ask(**large).status_code for _ in range(8)] == [200] * 8
    large = {"max_tokens": 64_000}
    assert books.ask(**large).status_code == 200, "by its bound there would be no room"
    assert books.ask(model="open", **large).status_code == 429, "nothing is known of this model"


def test_each_user_has_its_own_budget(books: Books) -> None:
    books.limit("user:*@default", "requests/week", "1")
    asked = [books.ask(user=user).status_code for user in ("ann", "bob", "ann")]
    assert asked == [200, 200, 429]
    assert [books.ask().status_code for _ in range(2)] == [200, 429], "calls without a user are one user's"


@pytest.mark.parametrize("subject", ["model:up/gpt-4o-mini", "model:gpt-4o-mini"])
def test_a_model_named_by_its_target_is_limited_by_either_spelling(subject: str, books: Books) -> None:
    books.limit(subject, "requests/day", "0")
    assert books.ask(model="up/gpt-4o-mini").status_code == 429
    assert books.ask(model="m").status_code == 200, "a name of the file is another one"


def test_a_limit_on_a_model_counts_what_its_fallback_costs(books: Books, upstream: Upstream) -> None:
    books.limit("model:falls", "usd/day", "1")
    good, bad = answers(used(8, 3)), answers({"error": {}}, 500)
    upstream.script = lambda connection, request: (bad if len(upstream.received) == 1 else good)(connection, request)
    assert books.ask(model="falls").headers["x-gateway-attempts"] == "2"
    assert books.standing() == [(14_000, 0)]
    assert books.rows("attempt, cost_nano, error_code") == [(1, 0, "upstream_error"), (2, 14_000, None)]


def test_a_fallback_that_the_budget_has_no_room_for_is_not_tried(books: Books, upstream: Upstream) -> None:
    books.limit("tenant:default", "usd/day", "0.000001")
    upstream.script = answers({"error": {}}, 500)
    assert books.refusal(model="falls")[:2] == (429, "insufficient_quota")
    assert len(books.sent) == 1
    assert books.standing() == [(0, 0)]


def test_a_limit_begins_with_what_has_been_used_in_its_period(books: Books) -> None:
    books.ask(user="ann")
    books.limit("tenant:default", "usd/month", "1")
    books.limit("user:*@default", "tokens/total", "30")
    assert books.standing() == [(14, 0), (0, 0), (11, 0)], "of the tenant, of calls without a user, of ann"
    assert books.ask(user="ann").status_code == 429


def test_a_kept_answer_counts_as_a_request_and_costs_nothing(
    make_app: Callable[..., Flask], upstream: Upstream, ledger_file: Path
) -> None:
    upstream.script = answers(used(8, 3))
    app = make_app(FILE.format(url=upstream.base_url), MODEL_NAME="m", CACHE_TTL="60")
    books = Books(app.test_client(), upstream, ledger_file)
    books.limit("tenant:default", "requests/day", "3")
    books.limit("tenant:default", "usd/day", "1")
    assert [books.ask(stream=stream).status_code for stream in (False, False, True)] == [200] * 3
    columns = "attempt, cost_nano, saved_nano, usage_source, cached, prompt_tokens"
    assert books.rows(columns) == [(1, 14, None, "provider", 0, 8), *[(0, 0, 14, "cache", 1, 8)] * 2]
    assert books.refusal()[:2] == (429, "insufficient_quota")
    assert books.standing() == [(3, 0), (14, 0)]


def test_where_a_sliding_budget_is_spent_the_wait_is_until_enough_is_forgotten(books: Books) -> None:
    books.limit("global", "usd/minute", "0.000001")
    while books.ask(max_tokens=300).status_code == 200:
        time.sleep(0)
    refused = books.ask(max_tokens=300)
    assert 55 <= int(refused.headers["Retry-After"]) <= 62
    assert refused.json
    assert json.loads(refused.text)["error"]["message"].count("in any minute") == 1
