"""Two requests share an answer only if nothing that bears on it differs."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.keys import key_of
from gateway.model import ModelRequest
from gateway.schemas.anthropic import read_messages
from gateway.schemas.inference import read

SYSTEM, USER = {"role": "system", "content": "s"}, {"role": "user", "content": "u"}
ASKED = ModelRequest("chat", None, {"messages": [SYSTEM, USER], "max_tokens": 10, "temperature": 0.5}, "alice")
TEXT = {"type": "text", "text": "u"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}}
TARGETS = [" openai/a", "fast local/b"]


def key(tenant: str = "default", targets: list[str] = TARGETS, **changes: Any) -> str:
    return key_of(tenant, targets, dataclasses.replace(ASKED, **changes))


def asking(**changes: Any) -> dict[str, Any]:
    asked = {**ASKED.asked, **changes}
    return {"asked": {name: value for name, value in asked.items() if value is not None}}


@pytest.mark.parametrize(
    "changes",
    [
        asking(messages=[{**SYSTEM, "role": "user"}, USER]),
        asking(messages=[{**SYSTEM, "content": "su"}, {**USER, "content": ""}]),
        asking(messages=[USER]),
        asking(max_tokens=11),
        asking(max_tokens=None),
        asking(temperature=0.6),
        asking(temperature=None),
        asking(seed=1),
        asking(n=2),
        asking(tools=[{"type": "function", "function": {"name": "f"}}]),
        asking(response_format={"type": "json_object"}),
        asking(nobody_knows_it=1),
        {"operation": "completions"},
        {"tenant": "other"},
        {"targets": [" openai/a"]},
        {"targets": ["fast openai/a", "fast local/b"]},
    ],
)
def test_anything_that_bears_on_the_answer_changes_the_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": "bob"},
        {"targets": TARGETS[::-1]},  # weights shuffle them
        {"stream": True, "stream_options": {"include_usage": True}},
        {"body": b"{}"},
    ],
)
def test_who_the_user_is_and_how_the_answer_is_delivered_do_not(changes: dict[str, Any]) -> None:
    assert key(**changes) == key()


def test_every_field_of_a_request_is_in_the_key_or_named_as_left_out() -> None:
    in_key = {"operation", "dialect", "headers", "asked", "body"}
    left_out = {"model", "user_id", "is_translated", "stream", "stream_options", "unknown", "hints", "conversation"}
    assert {field.name for field in dataclasses.fields(ModelRequest)} == in_key | left_out


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_two_tenants_ever_share_a_key(one: str, other: str, prompt: str, target: str) -> None:
    request = dataclasses.replace(ASKED, asked={"messages": [{"role": "user", "content": prompt}]})
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"role": "system", "content": [TEXT]}, {"role": "user", "content": [TEXT]}),
        ({"role": "user", "content": [{**TEXT, "lookup": 1}]}, {"role": "user", "content": [TEXT]}),
        ({"role": "user", "content": [DOCUMENT]}, {"role": "user", "content": [{**DOCUMENT, "context": "x"}]}),
        ({"role": "assistant", "content": [USE, TEXT]}, {"role": "assistant", "content": [TEXT, USE]}),
    ],
)
def test_what_a_chat_has_no_place_for_makes_another_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    asked = {"model": "m", "max_tokens": 9, "metadata": {"user_id": "u"}}
    keys = []
    for turn in (one, other, one):
        document = {**asked, "messages": [turn]}
        keys.append(key_of("t", [], read_messages(document, orjson.dumps(document), {})))
    assert keys[0] == keys[2] != keys[1]


def test_how_a_message_is_delivered_and_to_whom_makes_no_other_key() -> None:
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    others = [{}, {"model": "n"}, {"stream": True}, {"metadata": {"user_id": "u"}}]
    documents = [{**asked, **more} for more in others]
    assert len({key_of("t", [], read_messages(document, orjson.dumps(document), {})) for document in documents}) == 1
