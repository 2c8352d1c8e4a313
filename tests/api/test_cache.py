"""What a client may ask of the cache, and what it is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import KEY
from tests.fakes.upstream import Upstream, answers, completion

MakeApp = Callable[..., Flask]


def ask(client: FlaskClient, key: str = KEY, cache_control: str = "", **fields: object) -> tuple[str, bool]:
    headers = {"x-api-key": key, **({"Cache-Control": cache_control} if cache_control else {})}
    answer = client.post("/inference", json={"prompt": "Hello", "user_id": "u", **fields}, headers=headers)
    assert answer.status_code == 200
    assert answer.json
    return answer.headers["x-gateway-cache"], answer.json["cached"]


@pytest.fixture
def cached(make_app: MakeApp, upstream: Upstream) -> FlaskClient:
    return make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o", CACHE_TTL="60").test_client()


def test_the_second_of_two_equal_requests_is_a_hit(cached: FlaskClient, upstream: Upstream) -> None:
    assert [ask(cached), ask(cached)] == [("miss", False), ("hit", True)]
    assert len(upstream.received) == 1


def test_users_of_a_tenant_share_answers(cached: FlaskClient) -> None:
    ask(cached)
    assert ask(cached, user_id="somebody else") == ("hit", True)


@pytest.mark.parametrize(
    "changed",
    [{"prompt": "Hello!"}, {"system": "s"}, {"max_tokens": 9}, {"temperature": 0}, {"model": "gpt-4o-mini"}],
)
def test_a_request_that_differs_in_anything_else_is_a_miss(cached: FlaskClient, changed: dict[str, object]) -> None:
    ask(cached)
    assert ask(cached, **changed) == ("miss", False)


def test_the_default_model_by_its_name_is_the_same_request(make_app: MakeApp) -> None:
    client = make_app(CACHE_TTL="60").test_client()
    ask(client)
    assert ask(client, model="offline/echo") == ("hit", True)


def test_no_cache_gets_a_fresh_answer_and_keeps_it(cached: FlaskClient, upstream: Upstream) -> None:
    ask(cached)
    upstream.script = answers(completion("newer"))
    assert ask(cached, cache_control="max-age=5, No-Cache") == ("bypass", False)
    answer = cached.post("/inference", json={"prompt": "Hello", "user_id": "u"}, headers={"x-api-key": KEY})
    assert answer.json
    assert (answer.json["response"], answer.json["cached"]) == ("newer", True)


def test_no_store_neither_reads_nor_keeps(cached: FlaskClient) -> None:
    assert ask(cached, cache_control="no-store") == ("bypass", False)
    assert ask(cached) == ("miss", False)


def test_without_a_ttl_every_request_goes_to_the_provider(make_app: MakeApp, upstream: Upstream) -> None:
    client = make_app(OPENAI_BASE_URL=upstream.base_url, MODEL_NAME="gpt-4o").test_client()
    assert [ask(client), ask(client)] == [("bypass", False)] * 2
    assert len(upstream.received) == 2


def test_errors_and_filtered_answers_are_not_kept(cached: FlaskClient, upstream: Upstream) -> None:
    good = upstream.script
    for script in (
        answers({"error": {}}, 500),
        answers({"error": {}}, 400),
        answers(completion("half", choices=[{"message": {"content": "half"}, "finish_reason": "content_filter"}])),
    ):
        upstream.script = script
        cached.post("/inference", json={"prompt": "Hello", "user_id": "u"}, headers={"x-api-key": KEY})
    upstream.script = good
    assert ask(cached) == ("miss", False)


def test_a_model_that_means_other_targets_now_does_not_give_the_old_ones_answers(make_app: MakeApp) -> None:
    yaml = "models: {m: {targets: [{provider: offline, model: '%s'}]}}"
    ask(make_app(yaml % "echo?tokens=3", MODEL_NAME="m", CACHE_TTL="60").test_client())
    again = make_app(yaml % "echo?tokens=4", MODEL_NAME="m", CACHE_TTL="60").test_client()
    assert ask(again) == ("miss", False)
