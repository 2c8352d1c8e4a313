"""Gemini's embeddings and its count of a prompt, over its own API."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from gateway.errors import (
    GatewayError,
    InvalidField,
    ModelNotFound,
    ProviderBusy,
    ProviderFailed,
    ProviderRefused,
    UpstreamError,
)
from gateway.model import Completion
from gateway.providers.base import Call
from tests.fakes.gemini_schema import DIMENSIONS
from tests.fakes.gemini_vendor import GeminiVendor
from tests.fakes.upstream import Upstream, answers
from tests.unit.providers.gemini_calls import HI, MODEL, fitting, provider

EMBEDDER = "gemini-embedding-001"
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"properties": {"zone": {"type": "string"}}}}}
ASKED: Any = {"messages": [{"role": "system", "content": "Be brief."}, HI], "tools": [CLOCK]}
FAILURES = [(400, ProviderRefused), (429, ProviderBusy), (503, ProviderFailed)]


def embed(base_url: str, model: str = EMBEDDER, **asked: Any) -> Completion:
    to = provider(base_url)
    return to.complete(fitting(to, {"input": "Hi", **asked}, model, operation="embeddings"), model, Call("call-1", 1))


def count(base_url: str, model: str = MODEL, **asked: Any) -> int:
    to = provider(base_url)
    return to.count_tokens(fitting(to, {**ASKED, **asked}, model), model, Call("call-1", 1))


def test_texts_are_embedded_in_one_call_and_their_tokens_counted(vendor: GeminiVendor) -> None:
    found = embed(vendor.base_url, input=["Hi", "Wörld 🙂"])
    answer = orjson.loads(found.body)
    assert [len(one["embedding"]) for one in answer["data"]] == [DIMENSIONS, DIMENSIONS]
    assert found.usage is not None
    assert answer["usage"]["prompt_tokens"] == found.usage.prompt_tokens > 0
    assert (found.usage.completion_tokens, found.misreported) == (0, False)
    (received,) = vendor.received
    assert received.path == f"/v1beta/models/{EMBEDDER}:batchEmbedContents"
    assert (received.headers["x-request-id"], received.headers["x-gateway-attempt"]) == ("call-1", "1")


def test_a_cap_of_answers_is_nothing_to_embeddings(vendor: GeminiVendor) -> None:
    to = provider(vendor.base_url)
    request = fitting(to, {"input": "Hi", "dimensions": 3}, EMBEDDER, operation="embeddings")
    found = to.complete(request, EMBEDDER, Call("call-1", 1, cap=5))
    assert len(orjson.loads(found.body)["data"][0]["embedding"]) == 3


@pytest.mark.parametrize(("reported", "misreported"), [(None, False), ({}, False), ({"promptTokenCount": -1}, True)])
def test_a_usage_of_embeddings_that_is_not_credible_is_noted(
    reported: Any, misreported: bool, upstream: Upstream
) -> None:
    upstream.script = answers({"embeddings": [{"values": [0.5]}], "usageMetadata": reported})
    found = embed(upstream.base_url)
    assert (found.usage, found.misreported) == (None, misreported)
    assert orjson.loads(found.body)["usage"] is None


def test_tokens_numbers_are_refused_before_anything_is_sent(vendor: GeminiVendor) -> None:
    with pytest.raises(InvalidField) as caught:
        embed(vendor.base_url, input=[[1, 2]])
    assert caught.value.param == "input"
    assert vendor.received == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[]", b"null", b"{}", b'{"embeddings": [{"values": [1e39]}]}'])
def test_embeddings_that_cannot_be_understood_are_an_upstream_error(body: bytes, upstream: Upstream) -> None:
    upstream.script = answers(body)
    with pytest.raises(UpstreamError):
        embed(upstream.base_url)


def test_a_prompt_has_as_many_tokens_as_are_reported_of_it_once_it_is_answered(vendor: GeminiVendor) -> None:
    counted, to = count(vendor.base_url), provider(vendor.base_url)
    found = to.complete(fitting(to, ASKED), MODEL, Call("call-2", 1))
    assert found.usage is not None
    assert counted == found.usage.prompt_tokens
    first, second = (json.loads(received.body) for received in vendor.received)
    assert vendor.received[0].path == f"/v1beta/models/{MODEL}:countTokens"
    assert first == {"generateContentRequest": {"model": f"models/{MODEL}", **second}}


def test_a_prompt_that_will_be_streamed_is_counted_whole(vendor: GeminiVendor) -> None:
    to = provider(vendor.base_url)
    request = fitting(to, ASKED, stream=True)
    assert to.count_tokens(request, MODEL, Call("call-1", 1)) == count(vendor.base_url)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{", b"[]", b"null", b"{}", b'{"totalTokens": null}', b'{"totalTokens": 0}']
    + [b'{"totalTokens": %b}' % count for count in (b"-1", b'"7"', b"7.5", b"true", b"1000000001")],
)
def test_a_count_that_is_none_is_an_upstream_error(body: bytes, upstream: Upstream) -> None:
    upstream.script = answers(body)
    with pytest.raises(UpstreamError):
        count(upstream.base_url)


@pytest.mark.parametrize("ask", [embed, count])
@pytest.mark.parametrize(("status", "kind"), FAILURES)
def test_a_failure_says_what_it_is(status: int, kind: type[GatewayError], ask: Any, vendor: GeminiVendor) -> None:
    vendor.now.status = status
    with pytest.raises(kind):
        ask(vendor.base_url)


@pytest.mark.parametrize("ask", [embed, count])
@pytest.mark.parametrize("model", ["../x", "a?key=1", "a:b"])
def test_a_name_that_would_lead_elsewhere_is_no_model_here_either(model: str, ask: Any, vendor: GeminiVendor) -> None:
    with pytest.raises(ModelNotFound):
        ask(vendor.base_url, model)
    assert vendor.received == []
