"""Who gets in, and that all who do not are told the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from tests.conftest import KEY

MakeApp = Callable[..., Flask]
ASK = {"prompt": "Hello", "user_id": "u-1"}


def status(client: FlaskClient, *headers: tuple[str, str]) -> int:
    return client.post("/inference", json=ASK, headers=Headers(headers)).status_code


@pytest.mark.parametrize(
    "header",
    [("x-api-key", KEY), ("Authorization", f"Bearer {KEY}"), ("authorization", f"bearer  {KEY} "), ("X-API-KEY", KEY)],
)
def test_a_valid_key_gets_in_as_either_header(header: tuple[str, str], client: FlaskClient) -> None:
    assert status(client, header) == 200


def test_each_of_several_keys_gets_in(make_app: MakeApp) -> None:
    client = make_app(API_KEY="first-key-1,second-key-2").test_client()
    assert [status(client, ("x-api-key", key)) for key in ("first-key-1", "second-key-2")] == [200, 200]
    assert status(client, ("x-api-key", "first-key-1,second-key-2")) == 401


def test_of_two_credentials_the_valid_one_counts(client: FlaskClient) -> None:
    assert status(client, ("x-api-key", KEY), ("Authorization", "Bearer sk-other")) == 200
    assert status(client, ("x-api-key", "sk-other"), ("Authorization", f"Bearer {KEY}")) == 200


def test_two_authorization_headers_are_refused(client: FlaskClient) -> None:
    assert status(client, ("Authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")) == 400
    assert status(client, ("Authorization", "Basic eA=="), ("Authorization", f"Bearer {KEY}")) == 400


REFUSED = [
    (),
    (("x-api-key", ""),),
    (("Authorization", "Bearer"),),
    (("Authorization", "Bearer "),),
    (("Authorization", "Basic dTpw"),),
    (("Authorization", KEY),),
    (("x-api-key", "wrong"),),
    (("x-api-key", KEY[:-1]),),
    (("x-api-key", KEY + "x"),),
    (("x-api-key", KEY.upper()),),
    (("x-api-key", "k\xe9y"),),
    (("x-api-key", "x" * 8000),),
    (("x-api-key", "' OR '1'='1"),),
    (("x-api-key", "pg_sleep(10)"),),
    (("x-api-key", hashlib.sha256(KEY.encode()).hexdigest()),),
    (("x-api-key", f"env-{hashlib.sha256(KEY.encode()).hexdigest()[:8]}"),),
]


@pytest.mark.parametrize("headers", REFUSED, ids=str)
def test_every_other_credential_gets_the_same_401(headers: tuple[tuple[str, str], ...], client: FlaskClient) -> None:
    plain = client.post("/inference", json=ASK)
    refused = client.post("/inference", json=ASK, headers=Headers(headers))
    assert refused.status_code == 401
    assert refused.data == plain.data
    assert refused.json is not None
    assert refused.json["error"]["code"] == "invalid_api_key"


def test_a_key_in_the_query_is_no_credential(client: FlaskClient) -> None:
    assert client.post(f"/inference?api_key={KEY}&key={KEY}", json=ASK).status_code == 401


def test_the_guard_stands_before_the_body(client: FlaskClient) -> None:
    assert client.post("/inference", data=b"{", content_type="text/plain").status_code == 401


@pytest.mark.parametrize("path", ["//inference", "/inference/", "/INFERENCE", "/x/../inference", "/%69nference"])
def test_another_spelling_of_a_path_opens_nothing(path: str, client: FlaskClient) -> None:
    response = client.post(path, json=ASK)
    assert response.status_code in (401, 404)
    assert response.content_type == "application/json"


def test_the_metrics_ask_for_their_token_where_one_is_set(make_app: MakeApp, client: FlaskClient) -> None:
    assert client.get("/metrics").status_code == 200
    guarded = make_app(METRICS_TOKEN="metrics-token-1").test_client()
    assert guarded.get("/metrics").status_code == 401
    assert guarded.get("/metrics", headers={"x-api-key": KEY}).status_code == 401
    assert guarded.get("/metrics", headers={"Authorization": "Bearer metrics-token-1"}).status_code == 200
    assert status(guarded, ("Authorization", "Bearer metrics-token-1")) == 401, "it reads metrics and nothing else"
