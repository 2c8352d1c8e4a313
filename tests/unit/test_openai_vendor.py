"""The fake OpenAI that other tests rely on: it takes what the official SDK sends, and nothing that does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.fakes import responses_answers
from tests.fakes.openai_answers import DONE, answer, events
from tests.fakes.openai_vendor import DRESSES, PROVIDER_KEY, OpenAIVendor

CHAT = "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [
    {"type": "function", "function": {"name": "clock", "parameters": {"properties": {"zone": {"type": "string"}}}}}
]


@pytest.fixture
def vendor() -> Iterator[OpenAIVendor]:
    with OpenAIVendor(behind_gateway=False) as vendor:
        yield vendor


@pytest.fixture
def client(vendor: OpenAIVendor) -> Iterator[OpenAI]:
    with OpenAI(base_url=vendor.base_url, api_key=PROVIDER_KEY, max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"top_k": 5}, "unknown field 'top_k'"),
        ({"stream_options": {"include_usage": True}}, "stream_options without stream"),
        ({"temperature": "0.5"}, "temperature: "),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages.0."),
        ({"messages": [{"role": "nobody", "content": "a"}]}, "messages.0: Input tag 'nobody' "),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage: "),
    ],
    ids=str,
)
def test_a_request_that_does_not_fit_the_schema_is_refused_and_remembered(
    client: OpenAI, vendor: OpenAIVendor, more: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, extra_body=more)
    assert vendor.complaints[0].startswith(complaint)


def test_a_header_of_the_sdk_is_a_complaint_where_a_gateway_should_be() -> None:
    with (
        OpenAIVendor(secret=PROVIDER_KEY) as vendor,
        OpenAI(base_url=vendor.base_url, api_key=PROVIDER_KEY, max_retries=0) as client,
        pytest.raises(openai.BadRequestError),
    ):
        client.embeddings.create(model="text-embedding-3-small", input="a")
    assert {"header x-stainless-lang", "the client's key"} <= set(vendor.complaints)


@pytest.mark.parametrize("more", [{}, {"tools": TOOLS}, {"n": 3}, {"max_tokens": 2}, {"logprobs": True}], ids=str)
def test_a_streamed_answer_is_the_whole_one_in_pieces(more: dict[str, Any]) -> None:
    body: dict[str, Any] = {"model": "gpt-4o-mini", "messages": HELLO, **more}
    whole = answer(CHAT, body, 1)
    *streamed, last, done = events(CHAT, {**body, "stream": True, "stream_options": {"include_usage": True}}, 1)
    assert done == DONE
    assert json.loads(last)["usage"] == whole["usage"]
    for choice in whole["choices"]:
        parts = [part for text in streamed for part in json.loads(text)["choices"] if part["index"] == choice["index"]]
        deltas = [part["delta"] for part in parts]
        assert "".join(delta.get("content") or "" for delta in deltas) == (choice["message"]["content"] or "")
        pieces = [piece["function"]["arguments"] for delta in deltas for piece in delta.get("tool_calls", ())]
        calls = choice["message"].get("tool_calls", ())
        assert "".join(pieces) == "".join(call["function"]["arguments"] for call in calls)
        assert parts[-1]["finish_reason"] == choice["finish_reason"]


FLAT: Any = [
    {"type": "function", "name": "clock", "parameters": TOOLS[0]["function"]["parameters"], "strict": False},
    {"type": "custom", "name": "patch"},
]
SEALED: Any = {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]}
RESPONSES: list[dict[str, Any]] = [
    {"model": "gpt-4o", "input": "Hello"},
    {"model": "gpt-4o", "input": HELLO, "max_output_tokens": 2},
    {"model": "gpt-4o", "input": f"Please {responses_answers.REFUSED}"},
    {"model": "gpt-5", "input": "Hello", **SEALED},
    {"model": "gpt-5", "input": "Hello", "tools": FLAT, **SEALED},
]


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("body", RESPONSES, ids=str)
def test_a_response_is_as_published_and_its_stream_is_the_same_in_pieces(body: dict[str, Any]) -> None:
    whole = responses_answers.answer(body, 1)
    Response.model_validate(whole)
    told = [json.loads(data) for data in responses_answers.events({**body, "stream": True}, 1)]
    event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    assert [event.validate_python(one).type for one in told] == [one["type"] for one in told]
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    assert told[-1]["response"] == whole
    pieces = "".join(one["delta"] for one in told if one["type"].endswith(".delta"))
    texts = [part.get("text") or part.get("refusal") for item in whole["output"]
             for name in ("summary", "content") for part in item.get(name, ())]  # fmt: skip
    inputs = [item.get("arguments") or item.get("input") for item in whole["output"]]
    assert sorted(pieces) == sorted("".join(text for text in [*texts, *inputs] if text))


@pytest.mark.parametrize("dress", DRESSES)
def test_the_sdk_reads_a_streamed_response_to_its_end(client: OpenAI, vendor: OpenAIVendor, dress: str) -> None:
    vendor.now.dress = dress
    with client.responses.stream(model="gpt-4o", input="Hello") as stream:
        whole = stream.get_final_response()
    assert whole.output_text == client.responses.create(model="gpt-4o", input="Hello").output_text
    assert vendor.complaints == []


def test_the_sdk_gets_calls_of_both_kinds_and_may_send_all_of_them_back(client: OpenAI, vendor: OpenAIVendor) -> None:
    first = client.responses.create(model="gpt-5", input="Hello", tools=FLAT, store=False, **SEALED)
    thoughts, function, custom = (item.to_dict() for item in first.output)
    assert (function["type"], custom["type"]) == ("function_call", "custom_tool_call")
    results: Any = [
        {"type": "function_call_output", "call_id": function["call_id"], "output": "12:00"},
        {"type": "custom_tool_call_output", "call_id": custom["call_id"], "output": "done"},
    ]
    asked: Any = [*HELLO, thoughts, function, custom, *results]
    second = client.responses.create(model="gpt-5", input=asked, tools=FLAT, store=False, **SEALED)
    assert second.output_text == 'The tools said ["12:00", "done"].'
    assert vendor.complaints == []


def test_the_sdk_gets_what_it_asks_for_in_a_form(client: OpenAI) -> None:
    assert client.responses.parse(model="gpt-4o", input="Who?", text_format=Person).output_parsed == Person(
        name="München ☕", age=42
    )


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"messages": HELLO}, "unknown field 'messages'"),
        ({"temperature": "0.5"}, "temperature: "),
        ({"input": [{"role": "tool", "content": "Hello"}]}, "input."),
        ({"tools": TOOLS}, "tools."),
        (
            {"input": [{"type": "function_call_output", "call_id": "call_1", "output": "12:00"}]},
            "No tool call found for function call output with call_id call_1.",
        ),
        (
            {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "google:c2ln"}]},
            "The encrypted content for item rs_1 could not be verified.",
        ),
    ],
    ids=str,
)
def test_a_request_for_a_response_that_openai_would_not_take_is_refused(
    client: OpenAI, vendor: OpenAIVendor, more: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="gpt-4o", input="Hello", extra_body=more)
    assert vendor.complaints[0].startswith(complaint)


def test_a_stream_of_a_response_that_breaks_ends_with_an_event_that_says_so(
    client: OpenAI, vendor: OpenAIVendor
) -> None:
    vendor.now.break_after, vendor.now.break_by = 4, "error"
    *_, last = client.responses.create(model="gpt-4o", input="Hello", stream=True)
    assert (last.type, getattr(last, "code", None)) == ("error", "server_error")
