"""Texts to embed in OpenAI's form reach Gemini, and its embeddings come back in that form, in numbers or in base64."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Usage
from gateway.wire.fields import Untranslatable
from gateway.wire.gemini_embeddings import from_openai, to_openai
from tests.fakes.gemini_answers import embedded
from tests.fakes.gemini_schema import EMBED, misfits

MODEL = "gemini-embedding-001"
TEXT = st.text(min_size=1, max_size=20)


@given(texts=st.lists(TEXT, min_size=1, max_size=100), size=st.none() | st.integers(1, 3072))
def test_whatever_texts_are_to_be_embedded_gemini_takes_them_in_their_order(texts: list[str], size: int | None) -> None:
    made = from_openai({"input": texts, "dimensions": size, "encoding_format": "base64"}, MODEL)
    assert misfits(MODEL, json.dumps(made).encode(), method=EMBED) == []
    assert [request["content"]["parts"] for request in made["requests"]] == [[{"text": text}] for text in texts]
    assert {request.get("outputDimensionality") for request in made["requests"]} == {size}


def test_a_text_alone_is_asked_for_like_a_list_of_one() -> None:
    assert from_openai({"input": "Hi"}, MODEL) == from_openai({"input": ["Hi"]}, MODEL)


@pytest.mark.parametrize("tokens", [[1, 2], [[1, 2], [3]], [[]]], ids=str)
def test_the_numbers_of_tokens_are_no_text(tokens: Any) -> None:
    with pytest.raises(Untranslatable) as caught:
        from_openai({"input": tokens}, MODEL)
    assert caught.value.field == "input"


@given(vectors=st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9), max_size=4))
def test_base64_holds_the_same_numbers(vectors: list[list[float]]) -> None:
    answer = {"embeddings": [{"values": vector} for vector in vectors]}
    plain, packed = (to_openai(answer, MODEL, None, in_base64)["data"] for in_base64 in (False, True))
    assert [one["embedding"] for one in plain] == vectors
    for one, vector in zip(packed, vectors, strict=True):
        assert list(struct.unpack(f"<{len(vector)}f", base64.b64decode(one["embedding"]))) == vector


def test_embeddings_are_numbered_and_say_whose_they_are_and_what_they_took() -> None:
    answer = embedded(from_openai({"input": ["a", "b"], "dimensions": 2}, MODEL), with_usage=True)
    found = to_openai(answer, MODEL, Usage(7, 0), in_base64=False)
    assert (found["object"], found["model"]) == ("list", MODEL)
    assert found["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert [(one["object"], one["index"], len(one["embedding"])) for one in found["data"]] == [
        ("embedding", 0, 2),
        ("embedding", 1, 2),
    ]


def test_what_nobody_reports_is_not_made_up() -> None:
    assert to_openai({"embeddings": []}, MODEL, None, in_base64=False)["usage"] is None


@pytest.mark.parametrize("in_base64", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"embeddings": None},
        {"embeddings": [7]},
        {"embeddings": [{}]},
        {"embeddings": [{"values": None}]},
        {"embeddings": [{"values": "ab"}]},
        {"embeddings": [{"values": ["a"]}]},
        {"embeddings": [{"values": [[1]]}]},
        {"embeddings": [{"values": [1e39]}]},
    ],
    ids=str,
)
def test_what_are_no_embeddings_is_told(answer: Any, in_base64: bool) -> None:
    with pytest.raises(ValueError, match="no embeddings"):
        to_openai(answer, MODEL, None, in_base64)
