"""Two requests share an answer only if nothing that bears on it differs."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.keys import key_of
from gateway.model import ChatRequest, Message
from gateway.schemas.inference import read

ASKED = ChatRequest(None, (Message("system", "s"), Message("user", "u")), "alice", 10, 0.5)
TARGETS = [" openai/a", "fast local/b"]


def key(tenant: str = "default", targets: list[str] = TARGETS, **changes: Any) -> str:
    return key_of(tenant, targets, dataclasses.replace(ASKED, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": (Message("user", "s"), Message("user", "u"))},
        {"messages": (Message("system", "su"), Message("user", ""))},
        {"messages": (Message("user", "u"),)},
        {"max_tokens": 11},
        {"max_tokens": None},
        {"temperature": 0.6},
        {"temperature": None},
        {"tenant": "other"},
        {"targets": [" openai/a"]},
        {"targets": ["fast openai/a", "fast local/b"]},
    ],
)
def test_anything_that_bears_on_the_answer_changes_the_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


def test_who_the_user_is_and_the_order_of_targets_do_not(  # the tenant pays, and weights shuffle the targets
) -> None:
    assert key(user_id="bob", targets=TARGETS[::-1]) == key()


def test_every_field_of_a_request_is_in_the_key_or_named_as_left_out() -> None:
    assert {field.name for field in dataclasses.fields(ChatRequest)} == {
        "model", "messages", "user_id", "max_tokens", "temperature",
    }, "a new field: is it in the key, and does a test above change it?"  # fmt: skip


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_two_tenants_ever_share_a_key(one: str, other: str, prompt: str, target: str) -> None:
    request = dataclasses.replace(ASKED, messages=(Message("user", prompt),))
    assert (key_of(one, [target], request) == key_of(other, [target], request)) == (one == other)


@given(
    st.fixed_dictionaries(
        {"prompt": st.text(min_size=1).filter(str.strip), "user_id": st.just("u")},
        optional={"max_tokens": st.integers(1, 1000), "temperature": st.sampled_from([0, 0.0, 1, 1.0, 2])},
    )
)
def test_the_order_of_names_spaces_and_escapes_do_not_matter(document: dict[str, Any]) -> None:
    plain = orjson.loads(orjson.dumps(document))
    import json

    spelled = json.loads(json.dumps(dict(reversed(document.items())), indent=3, ensure_ascii=True))
    assert key_of("t", [], read(plain)) == key_of("t", [], read(spelled))
