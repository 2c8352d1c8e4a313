"""What the built-in provider says: OpenAI's shapes, made of the request alone."""

from __future__ import annotations

import base64
import contextlib
import math
import struct
import time
from typing import Any

import openai.types
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.errors import ProviderRefused
from gateway.model import ModelRequest, Operation
from gateway.wire import sse
from tests.unit.providers.offline_calls import (
    FRAME,
    Json,
    asking,
    body,
    complete,
    count,
    message,
    refusal,
    saying,
    stream,
)

FIELDS = [
    "messages", "role", "content", "type", "text", "n", "max_tokens", "tools", "functions", "function", "custom", "name",
    "parameters", "tool_choice", "function_call", "allowed_tools", "mode", "response_format", "json_schema", "schema",
    "prompt", "echo", "input", "dimensions", "properties", "required", "items", "minItems", "minimum", "multipleOf",
    "anyOf", "allOf", "$ref", "enum",
]  # fmt: skip
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def embedding(given: Any, **asked: Any) -> ModelRequest:
    return asking("embeddings", {"input": given, **asked})


def vectors(given: Any, **asked: Any) -> list[list[float]]:
    return [one["embedding"] for one in body(embedding(given, **asked))["data"]]


def test_a_chat_completion_has_openais_shape() -> None:
    found = body(saying("Hello there"), "echo?latency_ms=0")
    assert abs(found.pop("created") - time.time()) < 5
    assert found == {
        "id": "chatcmpl-c",
        "object": "chat.completion",
        "model": "offline/echo?latency_ms=0",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": FRAME + 2, "completion_tokens": 2, "total_tokens": FRAME + 4},
    }
    assert complete(saying("Hello")).upstream_request_id == "c"


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "What is "}, IMAGE, {"type": "text", "text": "this?"}],
            },
            "What is this?",
        ),
        ({"role": "user", "content": [IMAGE]}, ""),
        ({"role": "tool", "tool_call_id": "t", "content": "22 degrees"}, "22 degrees"),
        ({"role": "assistant", "content": None}, ""),
    ],
)
def test_the_last_message_is_repeated(last: Json, text: str) -> None:
    assert complete(asking("chat", {"messages": [{"role": "user", "content": "first"}, last]})).text == text


@pytest.mark.parametrize(("stop", "text"), [(" d", "a b c"), (["x", "b"], "a "), ([], "a b c d e"), ("", "a b c d e")])
def test_the_answer_ends_where_it_is_told_to(stop: str | list[str], text: str) -> None:
    found = complete(saying("a b c d e", stop=stop))
    assert (found.text, found.finish_reasons) == (text, ("stop",))


def test_as_many_choices_come_as_are_asked_for_and_each_is_counted() -> None:
    found = body(saying("Hello there", n=3))
    assert [(choice["index"], choice["message"]["content"]) for choice in found["choices"]] == [
        (index, "Hello there") for index in range(3)
    ]
    assert found["usage"]["completion_tokens"] == 6


def test_structured_answers_have_the_structure() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    assert orjson.loads(complete(saying("Who?", response_format=wanted)).text) == {"name": "x", "age": 0}
    assert orjson.loads(complete(saying("Who?", response_format={"type": "json_object"})).text) == {"text": "Who?"}
    assert message(saying("Who?", response_format={"type": "text"}))["content"] == "Who?"


def test_a_completion_has_openais_shape() -> None:
    found = body(asking("completions", {"prompt": "Once upon"}))
    assert (found["id"], found["object"], found["model"]) == ("cmpl-c", "text_completion", "offline/echo")
    assert found["choices"] == [{"index": 0, "text": "Once upon", "logprobs": None, "finish_reason": "stop"}]
    assert found["usage"]["total_tokens"] == FRAME + 4


@pytest.mark.parametrize(
    ("asked", "texts"),
    [
        ({"prompt": ["a", "b"]}, ["a", "b"]),
        ({"prompt": ["a", "b"], "n": 2}, ["a", "a", "b", "b"]),
        ({"prompt": ["a", "b"], "echo": True}, ["aa", "bb"]),
        ({"prompt": "one two three", "max_tokens": 2, "echo": True}, ["one two threeone two"]),
        ({"prompt": "one two", "max_tokens": 0, "echo": True}, ["one two"]),
        ({"prompt": None}, [""]),
    ],
)
def test_each_prompt_is_repeated_by_its_choices(asked: Json, texts: list[str]) -> None:
    choices = body(asking("completions", asked))["choices"]
    assert [choice["text"] for choice in choices] == texts
    assert [choice["index"] for choice in choices] == list(range(len(texts)))


def test_a_prompt_in_tokens_becomes_as_many_tokens() -> None:
    one, other = body(asking("completions", {"prompt": [[1, 2, 3], [3, 2, 1, 0]]}))["choices"]
    assert (count(one["text"]), count(other["text"])) == (3, 4)
    assert body(asking("completions", {"prompt": [1, 2, 3]}))["choices"][0]["text"] == one["text"]


def test_embeddings_have_openais_shape() -> None:
    found = body(embedding(["a", "b"]))
    assert (found["object"], found["model"]) == ("list", "offline/echo")
    assert [(one["object"], one["index"], len(one["embedding"])) for one in found["data"]] == [
        ("embedding", 0, 256),
        ("embedding", 1, 256),
    ]
    assert found["usage"].keys() == {"prompt_tokens", "total_tokens"}
    usage = complete(embedding("a")).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (FRAME + 1, 0)


inputs = st.text(st.characters(codec="utf-8"), max_size=20) | st.lists(st.integers(0, 200_000), min_size=1, max_size=5)


@given(st.lists(inputs, min_size=1, max_size=4), st.integers(8, 300))
def test_equal_inputs_have_equal_unit_vectors_and_others_have_others(given: list[Any], dimensions: int) -> None:
    found = vectors(given, dimensions=dimensions)
    for text, vector in zip(given, found, strict=True):
        assert len(vector) == dimensions
        assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-5)
        assert vectors(text, dimensions=dimensions) == [vector]
        assert [one == vector for one in found] == [other == text for other in given]


@given(inputs, st.integers(1, 4096))
def test_base64_and_floats_are_the_same_vector(given: Any, dimensions: int) -> None:
    [floats] = vectors(given, dimensions=dimensions, encoding_format="float")
    [encoded] = vectors(given, dimensions=dimensions, encoding_format="base64")
    assert list(struct.unpack(f"<{dimensions}f", base64.b64decode(encoded))) == floats  # type: ignore[arg-type]


def test_text_that_looks_like_tokens_is_something_else() -> None:
    assert vectors("[1,2]") != vectors([1, 2])


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (embedding("a", dimensions=4097), "dimensions"),
        (embedding("a", dimensions=0), "dimensions"),
        (embedding(["a"] * 2048, dimensions=4096), "dimensions"),
        (embedding(["a"] * 2049), "input"),
        (embedding([]), "input"),
        (embedding(None), "input"),
        (embedding(["a", 1]), "input"),
        (asking("embeddings", {}), None),
        (saying("a", n=0), "n"),
        (saying("a", n=129), "n"),
        (saying("a" * 1_000_000, n=100), None),
        (asking("chat", {"messages": []}), None),
        (asking("chat", {"messages": [{"role": "user", "content": 5}]}), None),
        (saying("a", max_tokens="many"), None),
        (saying("a", response_format={"type": "json_schema", "json_schema": {"schema": {"minimum": 2, "maximum": 1}}}), None),
        (asking("completions", {"prompt": {"a": 1}}), "prompt"),
        (asking("completions", {"prompt": [""] * 2049}), "prompt"),
        (asking("completions", {"prompt": ["a" * 1_000_000] * 2, "n": 20}), None),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_as_openai_refuses(request_: ModelRequest, param: str | None) -> None:
    assert refusal(request_)["param"] == param


FUNCTION = {"name": "a", "parameters": {"properties": {"b": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("request_", "whole", "chunk"),
    [
        (saying("Hello there", n=2), ChatCompletion, ChatCompletionChunk),
        (saying("call a", tools=[{"type": "function", "function": FUNCTION}]), ChatCompletion, ChatCompletionChunk),
        (saying("call a", functions=[FUNCTION]), ChatCompletion, ChatCompletionChunk),
        (asking("completions", {"prompt": "Hello there"}), openai.types.Completion, None),
        (embedding("a"), openai.types.CreateEmbeddingResponse, None),
    ],
)
def test_openais_own_library_knows_the_shapes(request_: ModelRequest, whole: Any, chunk: Any) -> None:
    whole.model_validate_json(complete(request_).body)
    if chunk:
        for payload in sse.payloads(b"".join(stream(request_).blocks())):
            chunk.model_validate_json(payload)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=6,
)


@given(
    st.sampled_from(["chat", "completions", "embeddings"]),
    st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4),
)
def test_whatever_is_asked_is_answered_or_refused(operation: Operation, asked: Json) -> None:
    for request in (asking(operation, asked), saying("call a", **asked)):
        with contextlib.suppress(ProviderRefused):
            assert complete(request).body
