"""Gemini over its own API: what it is sent, and what every kind of answer becomes."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest

from gateway.errors import (
    AnswerTooLarge,
    CredentialRefused,
    GatewayError,
    InvalidField,
    ModelNotFound,
    ProviderBusy,
    ProviderFailed,
    ProviderRefused,
    QuotaSpent,
    UpstreamError,
    UpstreamTimeout,
)
from gateway.model import Completion
from gateway.providers.base import Call, Stream, failure
from tests.fakes.gemini_answers import BLOCK, HOLD_BACK, THOUGHT, error, exhausted, overloaded, signature, wrong_key
from tests.fakes.gemini_vendor import DRESSES, GeminiVendor
from tests.fakes.upstream import Upstream, answers, sends
from tests.unit.providers.gemini_calls import HI, MODEL, fitting, provider

NEWER = "gemini-3-flash-preview"
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"properties": {"zone": {"type": "string"}}}}}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def ask(base_url: str, stream: bool = False, model: str = MODEL, cap: int | None = None, **asked: Any) -> Completion:
    """What comes of a call; the chunks of a stream say the same as what is put together of them."""
    to, call = provider(base_url), Call("call-1", 1, cap=cap)
    own = fitting(to, {"messages": [HI], **asked}, model, stream)
    if not stream:
        return to.complete(own, model, call)
    opened = to.stream(own, model, call)
    told = chunks(opened)
    found = opened.completion()
    texts = [
        choice["delta"].get("content") or "" for chunk in told for choice in chunk["choices"] if not choice["index"]
    ]
    assert found.text == "".join(texts)
    assert [choice["finish_reason"] for chunk in told for choice in chunk["choices"] if choice["finish_reason"]] == [
        *found.finish_reasons
    ]
    assert ("usage" in told[-1]) == (found.usage is not None)
    return found


def chunks(stream: Stream) -> list[Any]:
    events = b"".join(stream.blocks()).split(b"\n\n")
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events if event]


def message(found: Completion) -> Any:
    return orjson.loads(found.body)["choices"][0]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_comes_with_its_usage_and_reason(stream: bool, vendor: GeminiVendor) -> None:
    found = ask(vendor.base_url, stream, messages=[{"role": "system", "content": "Be brief."}, HI], temperature=0.5)
    assert found.text.startswith("Answer 0 to “Hi” with 0 files: 🙂")
    assert found.finish_reasons == ("stop",)
    assert found.usage is not None
    assert found.usage.cached_tokens == found.usage.prompt_tokens // 3 > 0
    assert (found.dialect, found.misreported) == ("openai", False)
    answer = orjson.loads(found.body)
    assert (answer["model"], answer["id"]) == (MODEL, "resp00000001")
    assert answer["usage"]["prompt_tokens"] == found.usage.prompt_tokens


def test_it_is_sent_our_labels_and_the_model_in_the_path(vendor: GeminiVendor) -> None:
    ask(vendor.base_url, True, NEWER)
    (received,) = vendor.received
    assert received.path == f"/v1beta/models/{NEWER}:streamGenerateContent?alt=sse"
    assert (received.headers["x-request-id"], received.headers["x-gateway-attempt"]) == ("call-1", "1")
    assert "authorization" not in received.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [MODEL, NEWER])
def test_a_conversation_with_tools_goes_on(model: str, stream: bool, vendor: GeminiVendor) -> None:
    said = message(ask(vendor.base_url, stream, model, tools=[CLOCK]))
    first, second = said["tool_calls"]
    assert first["extra_content"] == {"google": {"thought_signature": signature(model, "clock")}}
    assert "extra_content" not in second
    assert json.loads(second["function"]["arguments"]) == {"zone": "München ☕"}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "noon"} for call in (first, second)]
    found = ask(vendor.base_url, stream, model, messages=[HI, said, *results], tools=[CLOCK])
    assert found.text == 'The tools said [{"result": "noon"}, {"result": "noon"}].'


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_come_apart_and_are_counted(stream: bool, vendor: GeminiVendor) -> None:
    found = ask(vendor.base_url, stream, reasoning_effort="low")
    assert message(found)["reasoning_content"] == THOUGHT
    assert found.usage is not None
    assert found.usage.completion_tokens > found.usage.reasoning_tokens == -(-len(THOUGHT) // 5)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_has_the_form_and_the_choices_that_were_asked_for(stream: bool, vendor: GeminiVendor) -> None:
    schema = {"type": "object", "properties": {"people": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "town", "schema": schema}}
    assert ask(vendor.base_url, stream, response_format=form).text == '{"people": 42}'
    choices = orjson.loads(ask(vendor.base_url, stream, n=2).body)["choices"]
    assert [choice["message"]["content"][:8] for choice in choices] == ["Answer 0", "Answer 1"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_held_back_says_so(stream: bool, vendor: GeminiVendor) -> None:
    blocked = ask(vendor.base_url, stream, messages=[{"role": "user", "content": BLOCK}])
    assert (blocked.finish_reasons, message(blocked)["content"]) == (("content_filter",), None)
    assert "PROHIBITED_CONTENT" in message(blocked)["refusal"]
    assert blocked.usage is not None
    held = ask(vendor.base_url, stream, messages=[{"role": "user", "content": HOLD_BACK}])
    assert (held.finish_reasons, held.text) == (("content_filter",), "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_cap_ends_an_answer(stream: bool, vendor: GeminiVendor) -> None:
    found = ask(vendor.base_url, stream, cap=2, max_tokens=100)
    assert (found.finish_reasons, found.text) == (("length",), "Answer 0 t")


@pytest.mark.parametrize(
    "model", ["", "..", "a..b", "a/../b", "a/b/c", "../x", "./x", "a?key=1", "a#b", "a b", "a:b", "ä", "a%2e", "a\n"]
)
def test_a_name_that_would_lead_elsewhere_is_no_model(model: str, vendor: GeminiVendor) -> None:
    with pytest.raises(ModelNotFound):
        ask(vendor.base_url, model=model)
    assert vendor.received == []


def test_a_request_that_cannot_be_written_is_the_clients_mistake(vendor: GeminiVendor) -> None:
    deep = {"id": "call_1", "type": "function", "function": {"name": "a", "arguments": '{"a":' * 300 + "1" + "}" * 300}}
    for asked in ({"tools": [{"type": "web_search"}]}, {"messages": [HI, {"role": "assistant", "tool_calls": [deep]}]}):
        with pytest.raises(InvalidField):
            ask(vendor.base_url, **asked)
    assert vendor.received == []


@pytest.mark.parametrize(
    ("status", "body", "kind", "seconds"),
    [
        (429, exhausted(), ProviderBusy, 17),
        (429, exhausted(delay="0.3s"), ProviderBusy, 1),
        (429, exhausted(delay="22.689924287s"), ProviderBusy, 23),
        (429, exhausted(delay="4000s"), ProviderBusy, 60),
        (429, exhausted(delay=None), ProviderBusy, None),
        (429, exhausted(delay="soon"), ProviderBusy, None),
        (429, exhausted("Day"), QuotaSpent, 17),
        (429, b"[" + exhausted("Day") + b"]", QuotaSpent, 17),
        (429, error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota"), ProviderBusy, None),
        (429, b'{"error": {"status": "RESOURCE_EXHAUSTED", "details": [7, {"violations": 7, "retryDelay": 7}]}}', ProviderBusy, None),
        (503, overloaded(), ProviderFailed, None),
        (400, wrong_key(), CredentialRefused, None),
        (400, error(400, "INVALID_ARGUMENT", "API_KEY_INVALID"), ProviderRefused, None),
    ],
)  # fmt: skip
def test_what_google_says_of_a_failure_is_understood(
    status: int, body: bytes, kind: type[GatewayError], seconds: int | None
) -> None:
    found = failure("up", status, body)
    assert type(found) is kind
    assert found.retry_after == seconds


def test_a_header_says_more_than_the_body() -> None:
    assert failure("up", 429, exhausted(), "5").retry_after == 5


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "kind"), [(400, ProviderRefused), (429, ProviderBusy), (503, ProviderFailed)], ids=str
)
def test_a_failure_is_told_before_the_client_is_sent_anything(
    status: int, kind: type[GatewayError], stream: bool, vendor: GeminiVendor
) -> None:
    vendor.now.status = status
    with pytest.raises(kind):
        ask(vendor.base_url, stream)


@pytest.mark.usefixtures("way")
def test_a_wrong_key_is_the_operators_matter() -> None:
    with GeminiVendor() as vendor:
        to = provider(vendor.base_url, "AIza-of-nobody")
        with pytest.raises(CredentialRefused):
            to.complete(fitting(to, {"messages": [HI]}), MODEL, Call("call-1", 1))


def test_the_check_lists_models(vendor: GeminiVendor) -> None:
    assert provider(vendor.base_url).check([MODEL]).models == {MODEL, NEWER}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("cut", [1, 10_000])
def test_a_stream_is_read_however_it_is_written(dress: str, cut: int, vendor: GeminiVendor) -> None:
    vendor.now.dress, vendor.now.cut = dress, cut
    assert ask(vendor.base_url, True).finish_reasons == ("stop",)


@pytest.mark.parametrize("how", ["cut", "end", "error"])
def test_a_stream_that_breaks_off_says_so_after_what_came(how: Any, vendor: GeminiVendor) -> None:
    vendor.now.break_after, vendor.now.break_by = 2, how
    to = provider(vendor.base_url)
    opened = to.stream(fitting(to, {"messages": [HI]}, stream=True), MODEL, Call("call-1", 1))
    with pytest.raises(UpstreamError) as caught:
        chunks(opened)
    assert (opened.completion().text, opened.completion().usage) == ("Answer 0 t", None)
    assert caught.value.may_be_billed
    if how == "error":
        assert caught.value.detail == "UNAVAILABLE"


@pytest.mark.parametrize(("how", "kind"), [("end", UpstreamError), ("error", ProviderFailed)])
def test_a_stream_that_breaks_off_at_once_sends_a_client_nothing(
    how: Any, kind: type[GatewayError], vendor: GeminiVendor
) -> None:
    vendor.now.break_after, vendor.now.break_by = 0, how
    with pytest.raises(kind):
        ask(vendor.base_url, True)


def test_a_stream_that_says_nothing_is_given_up(vendor: GeminiVendor) -> None:
    vendor.now.silent = True
    started, to = time.monotonic(), provider(vendor.base_url, first_byte=0.3)
    with pytest.raises(UpstreamTimeout):
        to.stream(fitting(to, {"messages": [HI]}, stream=True), MODEL, Call("call-1", 1))
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("event", [b"7", b"[]", b"{", b'{"candidates": [{"content": {"parts": [{"text": 7}]}}]}'])
def test_an_event_that_is_none_breaks_a_stream_off(event: bytes, upstream: Upstream) -> None:
    upstream.script = sends(HEAD + b'data: {"candidates": [{"finishReason": "STOP"}]}\n\ndata: ' + event + b"\n\n")
    with pytest.raises(UpstreamError):
        ask(upstream.base_url, True)


def test_an_answer_of_more_than_its_cap_is_not_taken(upstream: Upstream) -> None:
    event = {"candidates": [{"content": {"parts": [{"text": "x" * 40_000}]}, "finishReason": "STOP"}]}
    upstream.script = sends(HEAD + b"data: " + json.dumps(event).encode() + b"\n\n")
    with pytest.raises(AnswerTooLarge):
        ask(upstream.base_url, True, max_tokens=100)
    for asked in ({}, {"max_tokens": 100, "n": 2}):
        assert ask(upstream.base_url, True, **asked).finish_reasons == ("stop",)


def test_an_answer_of_too_many_parts_is_not_looked_into(upstream: Upstream) -> None:
    upstream.script = answers(b"[" * 1_000_001)
    with pytest.raises(AnswerTooLarge):
        ask(upstream.base_url)


def test_an_answer_to_a_stream_that_comes_whole_is_streamed(upstream: Upstream) -> None:
    part = {"functionCall": {"name": "clock"}, "thoughtSignature": "c2ln"}
    upstream.script = answers({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]})
    (call,) = message(ask(upstream.base_url, True))["tool_calls"]
    assert call["extra_content"]["google"]["thought_signature"] == "c2ln"


@pytest.mark.parametrize("stream", [False, True])
def test_a_usage_that_is_not_credible_is_noted(stream: bool, upstream: Upstream) -> None:
    answer = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": -1}}
    body = json.dumps(answer).encode()
    upstream.script = sends(HEAD + b"data: " + body + b"\n\n") if stream else answers(answer)
    found = ask(upstream.base_url, stream)
    assert (found.usage, found.misreported) == (None, True)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[]", b"null", b"{}", b'{"candidates": []}'])
def test_an_answer_that_cannot_be_understood_is_an_upstream_error(body: bytes, upstream: Upstream) -> None:
    upstream.script = answers(body)
    with pytest.raises(UpstreamError):
        ask(upstream.base_url)
