"""What a virtual key opens, and what it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from gateway.app import COUNTERS, DIRECTORY
from gateway.auth import guesses
from gateway.policy import keys
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.api.books import Books
from tests.conftest import KEY

WRONG = "gw_0123456789ab_" + "x" * 43


def the_id(credential: str) -> str:
    return credential.split("_")[1]


def test_a_key_is_billed_to_its_tenant(books: Books) -> None:
    database = SqliteDatabase(books.file.parent)
    database.transact([lambda tx: keys.create_tenant(tx, "search", 0)])
    key = books.key("search")
    assert books.ask(key).status_code == 200
    assert books.rows("tenant, key_id") == [("search", the_id(key))]


def test_a_revoked_an_expired_and_an_unknown_key_get_the_same_401(books: Books) -> None:
    revoked, expired = books.key(), books.key(expires_ms=1)
    SqliteDatabase(books.file.parent).transact([lambda tx: keys.revoke_key(tx, the_id(revoked), 1)])
    books.client.application.extensions[DIRECTORY].refresh()
    answers = [books.ask(key) for key in (revoked, expired, WRONG, "sk-other")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.data for answer in answers}) == 1


def test_of_a_model_outside_the_keys_models_nobody_learns_whether_it_exists(books: Books) -> None:
    key = books.key(models=["m", "up/tiny"])
    refused = [books.ask(key, model=model) for model in ("open", "up/other", "no-such-model", "..\n/")]
    assert {(answer.status_code, answer.json["error"]["code"]) for answer in refused if answer.json} == {
        (403, "model_not_allowed")
    }
    assert len({answer.data for answer in refused}) == 1
    assert books.sent == []
    for path in ("open", "no-such-model"):
        assert books.client.get(f"/v1/models/{path}", headers={"x-api-key": key}).status_code == 403


def test_a_key_may_ask_for_its_models_by_any_of_their_names_and_by_none_for_the_default(books: Books) -> None:
    key = books.key(models=["m", "up/tiny"])
    for asked in ({}, {"model": "m"}, {"model": "up/tiny"}):
        assert books.ask(key, **asked).status_code == 200
    other = books.key(models=["open"])
    assert books.ask(other).status_code == 403, "the default is m"


def test_a_key_sees_the_models_that_it_may_ask_for(books: Books) -> None:
    def listed(key: str) -> list[str]:
        answer = books.client.get("/v1/models", headers={"x-api-key": key}).json
        assert answer
        return [model["id"] for model in answer["data"]]

    assert listed(books.key(models=["m", "no-more"])) == ["m"]
    assert set(listed(books.key())) == set(listed(KEY)) > {"m", "open"}


def test_a_key_without_models_may_ask_for_none(books: Books) -> None:
    assert books.ask(books.key(models=[])).status_code == 403


@pytest.fixture
def few_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "_MOST", 3)


def test_who_guesses_at_keys_is_told_to_wait_and_a_right_key_is_let_in(few_guesses: None, books: Books) -> None:
    right = books.key()
    headers = {"X-Forwarded-For": "203.0.113.7"}  # nobody's word is taken for it

    def guess(number: int) -> int:
        shown = {"x-api-key": f"{WRONG[:-1]}{number}", **headers}
        return books.client.get("/v1/models", headers=shown).status_code

    assert [guess(number) for number in range(5)] == [401, 401, 401, 429, 429]
    headers["X-Forwarded-For"] = "203.0.113.8"
    answer = books.client.get("/v1/models", headers={"x-api-key": WRONG})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert books.ask(right).status_code == books.ask(KEY).status_code == 200
    assert books.client.get("/v1/models").status_code == 401, "no key is no guess"


def test_guesses_are_counted_by_customer_in_ipv6(few_guesses: None, make_app: Callable[..., Flask]) -> None:
    counting = guesses.Guesses(make_app().extensions[COUNTERS])
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::3"):
        counting.count(address)
    with pytest.raises(guesses.TooManyGuesses):
        counting.count("2001:db8::4")
    counting.count("2001:db8:0:1::1")
    counting.count("unix")


def test_a_bare_name_that_a_key_may_ask_for_opens_no_other_provider(books: Books) -> None:
    key = books.key(models=["m", "gpt-4o-mini", "tiny"])
    assert books.ask(key, model="gpt-4o-mini").status_code in (200, 403, 404), "as the price list has it"
    for model in ("up/m", "spare/m", "spare/gpt-4o-mini", "spare/tiny"):
        assert books.ask(key, model=model).status_code == 403, model
    assert [request.path for request in books.upstream.received if "gpt" not in request.body.decode()] == []
