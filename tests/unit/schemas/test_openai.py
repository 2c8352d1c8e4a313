"""What a request in OpenAI's dialect may hold, what is refused and how, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidField
from gateway.model import ModelRequest
from gateway.schemas.openai import ChatSchema, left_out, read_chat, read_completions, read_embeddings

Read = Callable[[dict[str, Any], bytes], ModelRequest]

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
READERS = [
    pytest.param(read_chat, CHAT, id="chat"),
    pytest.param(read_completions, {"prompt": "hi"}, id="completions"),
    pytest.param(read_embeddings, {"input": "hi"}, id="embeddings"),
]
INTEGERS = {"max_tokens": (1, 2**31 - 1), "max_completion_tokens": (1, 2**31 - 1), "n": (1, 128), "top_logprobs": (0, 20),
            "seed": (-(2**63), 2**63 - 1)}  # fmt: skip
NUMBERS = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}
OBJECTS = ["audio", "metadata", "moderation", "prediction", "prompt_cache_options", "web_search_options"]
STRINGS = ["prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "safety_identifier", "service_tier", "user",
           "verbosity"]  # fmt: skip
BOOLEANS = ["logprobs", "parallel_tool_calls", "store", "stream"]


def chat(**fields: Any) -> ModelRequest:
    return read_chat(CHAT | fields, b"{}")


def refusal(read: Read, document: dict[str, Any]) -> tuple[str | None, str, str]:
    with pytest.raises(InvalidField) as caught:
        read(document, b"{}")
    return caught.value.param, caught.value.code, caught.value.message


@pytest.mark.parametrize(("name", "bounds"), [*INTEGERS.items(), *NUMBERS.items()])
def test_a_number_is_taken_up_to_its_bounds_and_no_further(name: str, bounds: tuple[int, int]) -> None:
    for bound in bounds:
        assert chat(**{name: bound}).asked[name] == bound
    for beyond in (bounds[0] - 1, bounds[1] + 1):
        param, code, message = refusal(read_chat, CHAT | {name: beyond})
        assert (param, code) == (name, "invalid_value")
        assert message.startswith(f"'{name}' must be ")


@pytest.mark.parametrize("name", [*INTEGERS, *NUMBERS])
@pytest.mark.parametrize("value", ["10", True, [1], {}])
def test_what_json_does_not_call_a_number_is_none(name: str, value: Any) -> None:
    assert refusal(read_chat, CHAT | {name: value})[:2] == (name, "invalid_type")


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [1.5, 1.0])
def test_a_fraction_is_no_whole_number(name: str, value: float) -> None:
    expected = (name, "invalid_type", f"'{name}' must be a whole number.")
    assert refusal(read_chat, CHAT | {name: value}) == expected


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (BOOLEANS, ["true", 0, 1, []]),
        (STRINGS, [1, True, ["a"], {}]),
        (OBJECTS, ["{}", [], 1, True]),
        (["function_call", "tool_choice"], [1, True, []]),
        (["modalities"], ["text", ["text", 1], {}]),
        (["stop"], [1, ["a", 1], {}, [None]]),
        (["logit_bias"], ["1", [], {"1": "1"}, {"1": True}, {"1": None}]),
        (["tools", "functions", "messages"], ["a", {}, 1]),
        (["response_format", "stream_options"], ["json_object", [], 1]),
        (["model"], [1, ["a"], {}, True]),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused_by_the_fields_name(names: list[str], wrong: list[Any]) -> None:
    for name in names:
        for value in wrong:
            param, code, message = refusal(read_chat, CHAT | {name: value})
            assert (param, code) == (name, "invalid_type")
            assert message.startswith(f"'{name}' must be ")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": ""}, "model", "invalid_value"),
        ({"model": " \n"}, "model", "invalid_value"),
        ({"stop": ["a"] * 17}, "stop", "invalid_value"),
        ({"logit_bias": {"1": 101}}, "logit_bias", "invalid_value"),
        ({"logit_bias": {"1": 0, "2": -100.5}}, "logit_bias", "invalid_value"),
        ({"user": "x" * 257}, "user", "invalid_value"),
        ({"user": "x" * 1_000_000}, "user", "invalid_value"),
        ({"safety_identifier": "x" * 257}, "safety_identifier", "invalid_value"),
        ({"tools": [{"type": "function"}, 1]}, "tools[1]", "invalid_type"),
        ({"tools": [{}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": 1}]}, "tools[0].type", "invalid_type"),
        ({"functions": [{"name": None}]}, "functions[0].name", "invalid_type"),
        ({"response_format": {}}, "response_format.type", "missing_required_parameter"),
        ({"response_format": {"type": 1}}, "response_format.type", "invalid_type"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stream": False, "stream_options": {}}, "stream_options", "invalid_value"),
        ({"stream": None, "stream_options": {}}, "stream_options", "invalid_value"),
    ],
)
def test_a_value_that_no_vendor_takes_is_refused_by_its_path(fields: dict[str, Any], param: str, code: str) -> None:
    assert refusal(read_chat, CHAT | fields)[:2] == (param, code)


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_effort": "beyond"}, {"service_tier": "gold"}, {"verbosity": "epic"}, {"modalities": ["smell"]},
        {"response_format": {"type": "grammar"}}, {"tools": [{"type": "web"}]}, {"tools": []}, {"stop": []},
        {"stop": "a"}, {"stop": ["a"] * 16}, {"tool_choice": "any"}, {"tool_choice": {"type": "function"}},
        {"logit_bias": {}}, {"logit_bias": {"50256": -100, "1": 0.5}}, {"metadata": {"a": "b"}},
        {"prompt_cache_retention": "1y"}, {"temperature": 1}, {"temperature": 0.5},
    ],
)  # fmt: skip
def test_what_some_vendor_may_take_is_left_to_it(fields: dict[str, Any]) -> None:
    assert chat(**fields).unknown == ()


@pytest.mark.parametrize(
    ("read", "document", "param"),
    [
        (read_chat, {}, "messages"),
        (read_chat, {"model": "a", "user": "b"}, "messages"),
        (read_completions, {}, "prompt"),
        (read_embeddings, {}, "input"),
    ],
)
def test_what_is_missing_is_named(read: Read, document: dict[str, Any], param: str) -> None:
    assert refusal(read, document) == (param, "missing_required_parameter", f"'{param}' is required.")


@pytest.mark.parametrize(("read", "field"), [(read_completions, "prompt"), (read_embeddings, "input")])
def test_a_text_may_be_several_or_the_numbers_of_tokens(read: Read, field: str) -> None:
    for value in ["a", ["a", "b"], [1, 2], [[1], [2, 3]]]:
        assert read({field: value}, b"{}").asked == {field: value}
    for wrong in [1, {}, ["a", 1], [1, True], [1.0], [[1], ["a"]], [[1], 2], [None]]:
        assert refusal(read, {field: wrong})[:2] == (field, "invalid_type")


def test_a_prompt_may_be_null_or_empty_and_an_embeddings_input_may_not() -> None:
    for value in (None, ""):
        assert read_completions({"prompt": value}, b"{}").asked == {"prompt": value}
    assert refusal(read_embeddings, {"input": None})[:2] == ("input", "invalid_type")
    for value in ("", []):
        assert refusal(read_embeddings, {"input": value})[:2] == ("input", "invalid_value")


@pytest.mark.parametrize(
    ("read", "document"),
    [(read_completions, {"prompt": "a", "best_of": value}) for value in (0, 21)]
    + [(read_completions, {"prompt": "a", "logprobs": value}) for value in (-1, 6)]
    + [(read_embeddings, {"input": "a", "dimensions": 0})],
)
def test_the_limits_of_the_other_operations_hold(read: Read, document: dict[str, Any]) -> None:
    assert refusal(read, document)[:2] == (list(document)[-1], "invalid_value")


@pytest.mark.parametrize(("read", "least"), READERS)
def test_a_request_without_a_model_asks_for_the_default_one(read: Read, least: dict[str, Any]) -> None:
    assert read(least, b"{}").model is None
    assert read(least | {"model": None}, b"{}").model is None
    assert read(least | {"model": "fast"}, b"{}").model == "fast"


@pytest.mark.parametrize("user", ["alice", 'a\n{"level":"x"}', "\x1b[31m", "x" * 256])
@pytest.mark.parametrize(("read", "least"), READERS)
def test_the_end_user_is_whom_user_names_and_does_not_bear_on_the_answer(
    read: Read, least: dict[str, Any], user: str
) -> None:
    request = read(least | {"user": user}, b"{}")
    assert (request.user_id, request.asked) == (user, least)


@pytest.mark.parametrize("user", [{}, {"user": None}, {"user": ""}])
def test_no_user_is_none(user: dict[str, Any]) -> None:
    assert chat(**user).user_id is None


@pytest.mark.parametrize(
    ("fields", "stream", "include_usage"),
    [
        ({}, False, False),
        ({"stream": None, "stream_options": None}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": None}, True, False),
        ({"stream": True, "stream_options": {"include_obfuscation": False}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": None}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True, "new": 1}}, True, True),
    ],
)
def test_a_stream_is_what_asks_for_one_and_ends_with_its_usage_if_that_is_asked_too(
    fields: dict[str, Any], stream: bool, include_usage: bool
) -> None:
    request = chat(**fields)
    assert (request.stream, request.include_usage) == (stream, include_usage)
    assert request.asked == CHAT


def test_embeddings_know_no_stream() -> None:
    request = read_embeddings({"input": "a", "stream": True, "stream_options": {}}, b"{}")
    assert (request.stream, request.unknown) == (False, ("stream", "stream_options"))


VALUES = {
    name: values | st.none()
    for name, values in [
        *((name, st.integers(*bounds)) for name, bounds in INTEGERS.items()),
        *((name, st.floats(*bounds)) for name, bounds in NUMBERS.items()),
        *((name, st.text(max_size=256)) for name in STRINGS),
        *((name, st.booleans()) for name in BOOLEANS if name != "stream"),
        *((name, st.dictionaries(st.text(), st.integers())) for name in OBJECTS),
        ("model", st.just("offline/echo")),
        ("stop", st.lists(st.text(), max_size=4)),
    ]
}
STREAMED = {
    "stream": st.just(True),
    "stream_options": st.fixed_dictionaries({}, optional={"include_usage": st.booleans()}),
}
UNKNOWN = st.dictionaries(st.text(max_size=3).map(lambda name: f"x-{name}"), st.integers() | st.none())


@given(st.fixed_dictionaries({}, optional=VALUES), st.fixed_dictionaries(STREAMED) | st.just({}), UNKNOWN)
def test_what_is_asked_and_what_is_left_out_make_the_document(
    fields: dict[str, Any], streamed: dict[str, Any], unknown: dict[str, Any]
) -> None:
    document = {**fields, **CHAT, **streamed, **unknown}
    request = read_chat(document, b"body")
    away = {name: value for name, value in document.items() if name in left_out(ChatSchema())}
    assert {**request.asked, **away} == document
    assert not set(request.asked) & set(away)
    assert all(request.asked[name] is document[name] for name in request.asked)
    assert (request.unknown, request.body, request.operation) == (tuple(unknown), b"body", "chat")
