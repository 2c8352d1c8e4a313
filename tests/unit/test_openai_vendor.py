"""The fake OpenAI that other tests rely on: it takes what the official SDK sends, and nothing that does not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.fakes.openai_answers import DONE, answer, events
from tests.fakes.openai_vendor import PROVIDER_KEY, OpenAIVendor

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
        ({"messages": [{"role": "nobody", "content": "a"}]}, "messages.0."),
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
