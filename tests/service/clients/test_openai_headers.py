"""What the official SDK shows of an answer's headers, and what the vendor sees of a client's."""

from __future__ import annotations

import math
import time
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion

from tests.conftest import KEY
from tests.fakes.openai_vendor import OWN_HEADERS, OpenAIVendor, Received
from tests.service.clients.conftest import MODELS, text

HELLO: Any = [{"role": "user", "content": "Hello"}]
ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/chat/completions", {"model": "fast", "messages": HELLO}),
    "completions": ("/completions", {"model": "instruct", "prompt": "Hello"}),
    "embeddings": ("/embeddings", {"model": "embed", "input": "Hello"}),
}
STREAMED = {name: ENDPOINTS[name] for name in ("chat", "completions")}


def raw(client: OpenAI, name: str, **more: Any) -> Any:
    """The raw response of a call to an endpoint of ENDPOINTS."""
    resource: Any = {
        "chat": client.chat.completions,
        "completions": client.completions,
        "embeddings": client.embeddings,
    }
    return resource[name].with_raw_response.create(**ENDPOINTS[name][1], **more)


def assert_nothing_leaks(headers: Any) -> None:
    """Nothing that only the vendor knows, but the id that has a header of its own."""
    assert headers["x-request-id"] != OWN_HEADERS["x-request-id"]
    assert [name for name in OWN_HEADERS if name in headers and name != "x-request-id"] == []
    values = [value for name, value in headers.items() if name != "x-gateway-upstream-request-id"]
    assert set(values) & set(OWN_HEADERS.values()) == set()


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_whole_answer_says_what_became_of_the_request(client: OpenAI, vendor: OpenAIVendor, name: str) -> None:
    headers = raw(client, name).headers
    assert headers["content-type"] == "application/json"
    assert headers["x-gateway-model"] == f"openai/{MODELS[ENDPOINTS[name][1]['model']]}"
    assert headers["x-gateway-cache"] in ("miss", "bypass")
    assert headers["x-gateway-attempts"] == "1"
    assert headers["x-gateway-upstream-request-id"] == OWN_HEADERS["x-request-id"]
    assert Decimal(headers["x-gateway-cost-usd"]) > 0
    assert 0 <= float(headers["x-gateway-overhead-ms"]) < 5000
    assert_nothing_leaks(headers)


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_says_what_is_known_when_it_starts(client: OpenAI, vendor: OpenAIVendor, name: str) -> None:
    response = raw(client, name, stream=True)
    chunks = list(response.parse())
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    assert response.headers["x-gateway-model"] == f"openai/{MODELS[ENDPOINTS[name][1]['model']]}"
    assert response.headers["x-gateway-attempts"] == "1"
    assert "x-gateway-cost-usd" not in response.headers
    assert "content-length" not in response.headers
    assert_nothing_leaks(response.headers)
    assert len(chunks) > 2


@pytest.mark.parametrize(
    ("model", "answered", "asked"),
    [
        ("fast", "openai/gpt-4o-mini", "gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai/gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini", "openai/gpt-4o-mini", "gpt-4o-mini"),
        ("hurried/ft:any/thing", "hurried/ft:any/thing", "ft:any/thing"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_model_may_be_named_in_every_way(
    client: OpenAI, vendor: OpenAIVendor, model: str, answered: str, asked: str, stream: bool
) -> None:
    response = client.chat.completions.with_raw_response.create(model=model, messages=HELLO, stream=stream)
    assert response.headers["x-gateway-model"] == answered
    assert text(response)
    assert [request.json["model"] for request in vendor.received] == [asked]


@pytest.mark.parametrize("absent", [{}, {"model": None}], ids=str)
def test_who_names_no_model_gets_the_default_one(client: OpenAI, vendor: OpenAIVendor, absent: dict[str, Any]) -> None:
    answer = client.post("/chat/completions", body={**absent, "messages": HELLO}, cast_to=ChatCompletion)
    assert answer.model == "gpt-4o-mini-2024-07-18"
    assert [request.json["model"] for request in vendor.received] == ["gpt-4o-mini"]


def test_the_cost_is_that_of_the_reported_tokens_to_the_nano_dollar(client: OpenAI, vendor: OpenAIVendor) -> None:
    response = client.chat.completions.with_raw_response.create(model="fast", messages=HELLO)
    usage = response.parse().usage
    assert usage and usage.prompt_tokens_details
    cached = usage.prompt_tokens_details.cached_tokens or 0
    nano = (usage.prompt_tokens - cached) * 100 + cached * 50 + usage.completion_tokens * 400
    assert Decimal(response.headers["x-gateway-cost-usd"]) == Decimal(math.ceil(nano)).scaleb(-9)


def test_the_sdk_shows_the_request_id_that_the_client_chose(client: OpenAI, vendor: OpenAIVendor) -> None:
    answer = client.chat.completions.create(model="fast", messages=HELLO, extra_headers={"x-request-id": "mine-1"})
    assert answer._request_id == "mine-1"
    assert vendor.received[0].headers["x-request-id"] != "mine-1"


def test_every_answer_has_a_request_id_of_its_own(client: OpenAI, vendor: OpenAIVendor) -> None:
    assert len({raw(client, name).headers["x-request-id"] for name in ENDPOINTS for _ in range(2)}) == 6


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_no_header_of_the_client_reaches_the_vendor(client: OpenAI, vendor: OpenAIVendor, stream: bool) -> None:
    headers = {
        "openai-organization": "org-mine",
        "openai-project": "p",
        "cookie": "a=b",
        "x-team": "a",
        "x-api-key": KEY,
    }
    query = {"api-version": "1"}
    text(raw(client, "chat", stream=stream, extra_headers=headers, extra_query=query))
    assert vendor.complaints == []
    assert vendor.received[0].path == "/v1/chat/completions"
    assert "python" not in vendor.received[0].headers["user-agent"].lower()


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_is_made_of_events_and_ends_with_done(client: OpenAI, vendor: OpenAIVendor, name: str) -> None:
    vendor.now.cut = 1
    sent = text(raw(client, name, stream=True))
    *blocks, rest = sent.split("\n\n")
    assert rest == ""
    assert blocks[-1] == "data: [DONE]"
    assert {block[:7] for block in blocks[:-1] if not block.startswith(":")} == {"data: {"}
    assert sent.count("\ndata: [DONE]\n") == 1


def test_the_raw_answer_is_the_vendors_own(client: OpenAI, vendor: OpenAIVendor) -> None:
    answer = raw(client, "chat").http_response.json()
    assert answer["system_fingerprint"] == "fp_0123abcd"
    assert answer["service_tier"] == "default"
    assert answer["choices"][0]["message"]["annotations"] == []


def test_numbers_and_texts_reach_the_vendor_as_they_were_written(client: OpenAI, vendor: OpenAIVendor) -> None:
    vendor.now.allow = frozenset({"exact", "nested"})
    body = (
        b' {"messages" : [{"content":"\\u00e9 \xc3\xa9 \\ud83d\\ude42 \\/ \\u2028","role":"user"}],\n"exact":[1.0, 1e0, 0.10, -0.0,'
        b' 0.1000000000000000055511151231257827, 9007199254740993],"model":"fast","nested":{"model":"fast","stream":true}}\r\n'
    )
    answer = httpx.post(
        f"{client.base_url}chat/completions",
        content=body,
        headers={"authorization": f"Bearer {KEY}", "content-type": "application/json; charset=utf-8"},
    )
    assert answer.status_code == 200
    assert vendor.received[0].json == {**Received("", {}, body).json, "model": "gpt-4o-mini"}


def test_a_body_that_says_model_very_often_is_no_more_work(client: OpenAI, vendor: OpenAIVendor) -> None:
    vendor.now.allow = frozenset({"others"})
    client.chat.completions.create(model="fast", messages=HELLO)  # so that the connections are there
    started = time.monotonic()
    client.chat.completions.create(messages=HELLO, model="fast", extra_body={"others": [{"model": 1}] * 14_000})
    with pytest.raises(openai.NotFoundError):
        client.post(
            "/chat/completions",
            body={"others": [{"model": 1}] * 10_000, "model": "nope", "messages": HELLO},
            cast_to=object,
        )
    client.post(
        "/chat/completions",
        body={"others": [{"model": 1}] * 14_000, "model": "fast", "messages": HELLO},
        cast_to=object,
    )
    assert time.monotonic() - started < 2
