"""OpenAI's official SDK, unmodified: through the gateway it sees what it sees of the vendor itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.conftest import KEY
from tests.fakes.openai_answers import answer
from tests.fakes.openai_vendor import DRESSES, OpenAIVendor
from tests.service.clients.conftest import MODELS, Pair, plain
from tests.service.conftest import Service

WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
HELLO: Any = [{"role": "user", "content": "Hello, Wörld 🙂"}]
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a town",
        "strict": True,
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}, "days": {"type": "integer"}}, "required": ["town", "days"], "additionalProperties": False},
    },
}  # fmt: skip
CLOCK: Any = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"town": "München"}'}}
TOWN = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
    "additionalProperties": False,
}

REQUESTS: dict[str, dict[str, Any]] = {
    "text": {"messages": HELLO},
    "every role": {
        "messages": [
            {"role": "developer", "content": "Be brief", "name": "boss"},
            {"role": "system", "content": [{"type": "text", "text": "Be kind"}]},
            {"role": "user", "content": "One", "name": "ann"},
            {"role": "assistant", "content": "Two", "refusal": None},
            {"role": "user", "content": [{"type": "text", "text": "Three"}, {"type": "text", "text": " four"}]},
        ]
    },
    "every setting": {
        "messages": HELLO, "temperature": 0.7, "top_p": 0.9, "seed": 7, "stop": ["END", "\n\n"], "user": "u-1",
        "frequency_penalty": -0.5, "presence_penalty": 1.0, "logit_bias": {"50256": -100}, "metadata": {"team": "a"},
        "store": False, "service_tier": "default", "safety_identifier": "s", "prompt_cache_key": "k",
        "max_completion_tokens": 500, "modalities": ["text"], "prediction": {"type": "content", "content": "x"},
        "reasoning_effort": "low", "verbosity": "low", "web_search_options": {"search_context_size": "low"},
    },
    "null settings": {"messages": HELLO, "temperature": None, "stop": None, "n": None, "max_tokens": None},
    "cut short": {"messages": HELLO, "max_tokens": 3},
    "two choices": {"messages": HELLO, "n": 2},
    "logprobs": {"messages": HELLO, "logprobs": True, "top_logprobs": 2},
    "images": {
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        ]}]
    },
    "parallel tools": {"messages": HELLO, "tools": [WEATHER, CLOCK]},
    "tools in two choices": {"messages": HELLO, "tools": [WEATHER, CLOCK], "tool_choice": "required", "n": 2},
    "one tool": {"messages": HELLO, "tools": [WEATHER, CLOCK], "tool_choice": "auto", "parallel_tool_calls": False},
    "a named tool": {"messages": HELLO, "tools": [WEATHER, CLOCK], "tool_choice": {"type": "function", "function": {"name": "clock"}}},
    "no tool wanted": {"messages": HELLO, "tools": [WEATHER], "tool_choice": "none"},
    "a tool's result": {
        "messages": [
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "☔ 12 °C"},
        ],
        "tools": [WEATHER],
    },
    "json schema": {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {"name": "town", "schema": TOWN, "strict": True}}},
    "json object": {"messages": HELLO, "response_format": {"type": "json_object"}},
    "more fields": {"messages": HELLO, "extra_body": {"top_k": 5, "guided_json": {"a": [1, 2.50, None]}}},
}  # fmt: skip


class Street(BaseModel):
    name: str
    houses: list[int]


class Town(BaseModel):
    name: str
    streets: list[Street]


@WAYS
@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_chat_completion_is_what_the_vendor_gives(pair: Pair, request_: dict[str, Any], stream: bool) -> None:
    pair.allow("top_k", "guided_json")

    def ask(client: OpenAI, model: str) -> Any:
        answer = client.chat.completions.create(model=model, stream=stream, **request_)
        return list(answer) if stream else answer

    pair.same(ask)


@pytest.mark.parametrize(
    "options", [{"include_usage": True}, {"include_usage": False}, {"include_obfuscation": False}, {}, None], ids=str
)
def test_only_a_stream_that_asks_for_usage_ends_with_it(pair: Pair, options: Any) -> None:
    def ask(client: OpenAI, model: str) -> Any:
        return list(client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))

    chunks = pair.same(ask)
    asked = bool(options and options.get("include_usage"))
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [asked]
    assert bool(chunks[-1].choices) is not asked
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_streamed_answer_adds_up_to_the_whole_one_and_its_usage(client: OpenAI, vendor: OpenAIVendor) -> None:
    whole = client.chat.completions.create(model="fast", messages=HELLO)
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(model="fast", messages=HELLO, stream=True, stream_options=options)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert (text, chunks[-1].usage) == (whole.choices[0].message.content, whole.usage)
    assert whole.usage and whole.usage.prompt_tokens_details and whole.usage.prompt_tokens_details.cached_tokens
    assert vendor.complaints == []


def test_what_the_vendor_streams_is_passed_on_at_once(client: OpenAI, vendor: OpenAIVendor) -> None:
    vendor.now.pause_after = 2
    seen = []
    for chunk in client.chat.completions.create(model="fast", messages=HELLO, stream=True):
        seen.append(chunk)
        if len(seen) == 2:
            vendor.proceed.set()  # were the chunks kept back, this would come too late
    assert len(seen) > 2
    assert seen[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("cut", [1, 1_000_000])
def test_a_stream_may_be_written_and_cut_in_every_way(pair: Pair, dress: str, cut: int) -> None:
    for vendor in (pair.alone, pair.behind):
        vendor.now.dress, vendor.now.cut = dress, cut

    def ask(client: OpenAI, model: str) -> Any:
        return list(client.chat.completions.create(model=model, messages=HELLO, stream=True))

    assert len(pair.same(ask)) > 10


@WAYS
def test_a_long_answer_arrives_whole(pair: Pair, stream: bool) -> None:
    for vendor in (pair.alone, pair.behind):
        vendor.now.cut = 65536
    messages: Any = [{"role": "user", "content": "漢字🙂 " * 5000}]

    def ask(client: OpenAI, model: str) -> Any:
        answer: Any = client.chat.completions.create(model=model, messages=messages, stream=stream)
        return list(answer) if stream else answer

    pair.same(ask)


def test_a_stream_that_the_client_leaves_early_does_not_disturb_the_next(client: OpenAI, vendor: OpenAIVendor) -> None:
    for _ in range(5):
        with client.chat.completions.create(model="fast", messages=HELLO, stream=True) as stream:
            next(iter(stream))
    assert client.chat.completions.create(model="fast", messages=HELLO).choices[0].finish_reason == "stop"
    assert vendor.complaints == []


@WAYS
def test_tools_work_all_the_way_round(pair: Pair, stream: bool) -> None:
    def ask(client: OpenAI, model: str) -> Any:
        tools: Any = {"tools": [WEATHER, CLOCK]}
        if stream:
            with client.chat.completions.stream(model=model, messages=HELLO, **tools) as events:
                first = events.get_final_completion()
        else:
            first = client.chat.completions.create(model=model, messages=HELLO, **tools)
        message = first.choices[0].message
        calls = message.tool_calls or []
        assert [json.loads(call.function.arguments) for call in calls] == [{"town": "München ☕", "days": 42}, {}]
        results = [{"role": "tool", "tool_call_id": call.id, "content": f"{call.id}: ☀️"} for call in calls]
        turn = message.model_dump(
            exclude_none=True,
            exclude={"parsed": True, "tool_calls": {"__all__": {"function": {"parsed_arguments"}, "index": True}}},
        )
        second = client.chat.completions.create(model=model, messages=[*HELLO, turn, *results], **tools)
        return [first, second]

    assert "call_01" in (pair.same(ask)[1].choices[0].message.content or "")


def test_an_answer_parses_into_a_pydantic_model(pair: Pair) -> None:
    def ask(client: OpenAI, model: str) -> Any:
        return client.chat.completions.parse(model=model, messages=HELLO, response_format=Town)

    parsed = pair.same(ask).choices[0].message.parsed
    assert parsed.streets[1] == Street(name="München ☕", houses=[42, 42])


def test_the_stream_helper_gives_events_and_a_parsed_answer(pair: Pair) -> None:
    def ask(client: OpenAI, model: str) -> Any:
        with client.chat.completions.stream(model=model, messages=HELLO, response_format=Town) as stream:
            kinds = [event.type for event in stream]
            return [*kinds, stream.get_final_completion()]

    seen = pair.same(ask)
    assert seen[-1].choices[0].message.parsed.name == "München ☕"
    assert {"chunk", "content.delta", "content.done"} <= set(seen[:-1])


@WAYS
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"prompt": ["One", "Two"], "n": 2},
        {"max_tokens": 2, "temperature": 0, "suffix": ".", "user": "u"},
        {"prompt": [1, 2, 3]},
    ],
    ids=str,
)
def test_a_text_completion_is_what_the_vendor_gives(pair: Pair, more: dict[str, Any], stream: bool) -> None:
    def ask(client: OpenAI, model: str) -> Any:
        answer = client.completions.create(**{"model": model, "prompt": "Once upon", "stream": stream, **more})
        return list(answer) if stream else answer

    pair.same(ask, "instruct")


@pytest.mark.parametrize("given", ["Hello", ["One", "Zwei 🙂", "三"], [1, 2, 3], [[1, 2], [3]]], ids=str)
@pytest.mark.parametrize(
    "more", [{}, {"encoding_format": "base64"}, {"encoding_format": "float"}, {"dimensions": 3, "user": "u-1"}], ids=str
)
def test_embeddings_are_what_the_vendor_gives(pair: Pair, given: Any, more: dict[str, Any]) -> None:
    result = pair.same(lambda client, model: client.embeddings.create(model=model, input=given, **more), "embed")
    assert result.usage.prompt_tokens


def test_the_models_are_the_configured_ones(client: OpenAI) -> None:
    listed = list(client.models.list())
    assert {model.id for model in listed} >= {*MODELS, "hurried"}
    assert {model.object for model in listed} == {"model"}
    assert all(isinstance(model.created, int) and isinstance(model.owned_by, str) for model in listed)
    assert client.models.retrieve("fast") == next(model for model in listed if model.id == "fast")


@WAYS
def test_the_asynchronous_client_gets_the_same(service: Service, vendor: OpenAIVendor, stream: bool) -> None:
    async def ask() -> str:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0) as client:
            if not stream:
                return (await client.chat.completions.create(model="fast", messages=HELLO)).choices[
                    0
                ].message.content or ""
            parts = await client.chat.completions.create(model="fast", messages=HELLO, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in parts])

    expected = answer("/v1/chat/completions", {"model": "gpt-4o-mini", "messages": HELLO}, 1)
    assert asyncio.run(ask()) == expected["choices"][0]["message"]["content"]
    assert vendor.complaints == []


def test_many_streams_at_once_keep_apart(service: Service, vendor: OpenAIVendor) -> None:
    async def ask(client: AsyncOpenAI, text: str) -> str:
        messages: Any = [{"role": "user", "content": text}]
        stream = await client.chat.completions.create(model="fast", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_at_once() -> list[str]:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key=KEY, max_retries=0) as client:
            return await asyncio.gather(*(ask(client, f"number {one}") for one in range(30)))

    assert [text.split("”")[0] for text in asyncio.run(all_at_once())] == [
        f"Answer 0 to “number {one}" for one in range(30)
    ]


def test_a_key_in_the_other_header_works_as_well(service: Service, pair: Pair) -> None:
    headers = {"x-api-key": KEY}
    with OpenAI(base_url=f"{service.url}/v1", api_key="unused", max_retries=0, default_headers=headers) as client:
        got = client.chat.completions.create(model="fast", messages=HELLO)
    assert plain(got) == plain(pair.direct.chat.completions.create(model="gpt-4o-mini", messages=HELLO))
