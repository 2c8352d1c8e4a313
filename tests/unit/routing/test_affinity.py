"""A conversation keeps its target, and targets have their share of conversations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import ModelRequest
from gateway.routing.affinity import conversation, ranked

WEIGHTS = {"a": 3, "b": 1, "c": 4}
SYSTEM = {"role": "system", "content": "Be brief."}


def order(of: str | None, *targets: str) -> list[str]:
    return ranked(targets or WEIGHTS, lambda target: WEIGHTS[target], of)


def said(*words: str, **asked: Any) -> ModelRequest:
    messages = [
        {"role": "user" if number % 2 == 0 else "assistant", "content": text} for number, text in enumerate(words)
    ]
    return ModelRequest("chat", "m", {"messages": [SYSTEM, *messages]}, **asked)


@pytest.mark.parametrize("named", [True, False])
def test_a_target_leads_as_often_as_its_weight_says(named: bool) -> None:
    first = Counter(order(f"conversation {number}" if named else None)[0] for number in range(8000))
    for target, weight in WEIGHTS.items():
        assert abs(first[target] / 8000 - weight / 8) < 0.03


@given(st.text())
def test_a_target_that_goes_moves_only_its_own_conversations_and_gets_them_back(name: str) -> None:
    whole = order(name)
    assert order(name) == whole
    for gone in WEIGHTS:
        left = order(name, *(target for target in WEIGHTS if target != gone))
        assert left == [target for target in whole if target != gone]


def test_turns_of_a_conversation_are_one_and_other_beginnings_are_others() -> None:
    first = conversation("t", None, said("Hi"), "session")
    assert first is not None
    assert first == conversation("t", None, said("Hi", "Hello!", "How are you?"), "session")
    assert first != conversation("t", None, said("Ho"), "session")
    assert first != conversation("other", None, said("Hi"), "session"), "of another tenant"


def test_what_the_client_names_counts_more_than_how_it_begins() -> None:
    by_header = [conversation("t", "s-1", said(word), None) for word in ("Hi", "Ho")]
    by_key = [conversation("t", None, said(word, conversation="k"), None) for word in ("Hi", "Ho")]
    assert by_header[0] == by_header[1] != by_key[0] == by_key[1]


def test_without_a_name_it_is_known_by_its_beginning_only_where_the_operator_wants_it() -> None:
    assert conversation("t", None, said("Hi"), None) is None
    assert conversation("t", "s-1", said("Hi", conversation="k"), "none") is None


def test_a_text_to_complete_is_known_by_its_beginning_and_embeddings_are_no_conversation() -> None:
    text = "x" * 2000
    one, longer = (ModelRequest("completions", "m", {"prompt": words}) for words in (text, text + "y"))
    assert conversation("t", None, one, "session") == conversation("t", None, longer, "session")
    assert conversation("t", None, ModelRequest("embeddings", "m", {"input": "x"}), "session") is None


def test_a_prompt_without_messages_that_grows_at_its_end_stays_one_conversation() -> None:
    text = "x" * 2000
    one, longer, other = (said(words) for words in (text, text + "y", "z" + text))
    assert conversation("t", None, one, "session") == conversation("t", None, longer, "session")
    assert conversation("t", None, one, "session") != conversation("t", None, other, "session")
    messages = (said(words, body=b"{}") for words in (text, text + "y"))
    assert len({conversation("t", None, each, "session") for each in messages}) == 2, "first messages do not grow"
