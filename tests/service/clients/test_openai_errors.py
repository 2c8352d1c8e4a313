"""Which of its errors the official SDK raises, and what the error says."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.conftest import KEY
from tests.fakes.openai_vendor import OWN_HEADERS, PROVIDER_KEY, OpenAIVendor
from tests.service.clients.conftest import LARGEST_BODY, text
from tests.service.conftest import Service

HELLO: Any = [{"role": "user", "content": "Hello"}]
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
REFUSAL = b'{\n  "error": {"message": "Sch\xc3\xb6n, but \\u00e9 no", "type": "invalid_request_error", "param": "messages", "code": "vendors_own"},\n "more": 1.50 }\n'


def chat(client: OpenAI, **fields: Any) -> Any:
    """A chat completion; a stream is read to its end."""
    answer = client.chat.completions.create(**{"model": "fast", "messages": HELLO, **fields})
    return list(answer) if fields.get("stream") else answer


def shape(error: openai.APIStatusError) -> tuple[Any, ...]:
    """An error's status, code and parameter; its body must have all of OpenAI's fields and its own id."""
    body = error.response.json()
    assert set(body) == {"error"}
    assert {"message", "type", "param", "code"} <= set(body["error"])
    assert body["error"]["message"]
    assert error.response.headers["content-type"] == "application/json"
    assert error.request_id == error.response.headers["x-request-id"] != OWN_HEADERS["x-request-id"]
    return error.status_code, error.code, error.param


@WAYS
@pytest.mark.parametrize("key", ["wrong", KEY + "x", KEY[:-1], "gw_1_2"])
def test_a_wrong_key_is_an_authentication_error(service: Service, vendor: OpenAIVendor, key: str, stream: bool) -> None:
    with (
        OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        chat(client, stream=stream)
    assert shape(caught.value)[:2] == (401, "invalid_api_key")
    assert key not in caught.value.response.text
    assert vendor.received == []


def test_every_endpoint_asks_for_the_key(service: Service, vendor: OpenAIVendor) -> None:
    with OpenAI(base_url=f"{service.url}/v1", api_key="wrong", max_retries=0) as client:
        calls = [
            lambda: client.completions.create(model="instruct", prompt="a"),
            lambda: client.embeddings.create(model="embed", input="a"),
            lambda: client.models.list(),
            lambda: client.models.retrieve("fast"),
        ]
        for call in calls:
            with pytest.raises(openai.AuthenticationError) as caught:
                call()
            assert caught.value.code == "invalid_api_key"
    assert vendor.received == []


@pytest.mark.parametrize("model", ["nope", "nobody/gpt-4o-mini", "FAST", "fast "])
def test_an_unknown_model_is_a_not_found_error(client: OpenAI, vendor: OpenAIVendor, model: str) -> None:
    calls = [
        lambda: chat(client, model=model),
        lambda: chat(client, model=model, stream=True),
        lambda: client.completions.create(model=model, prompt="a"),
        lambda: client.embeddings.create(model=model, input="a"),
        lambda: client.models.retrieve(model),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert shape(caught.value)[:2] == (404, "model_not_found")
    assert vendor.received == []


@WAYS
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 1000}, "n"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"model": 7}, "model"),
        ({"extra_body": {"stream": "yes"}}, "stream"),
    ],
    ids=str,
)
def test_a_bad_field_is_a_bad_request_error_that_names_it(
    client: OpenAI, vendor: OpenAIVendor, fields: dict[str, Any], param: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, stream=stream, **fields)
    status, code, named = shape(caught.value)
    assert (status, named) == (400, param)
    assert code in ("invalid_value", "invalid_type")
    assert vendor.received == []


def test_a_bad_field_of_the_other_endpoints_is_named_as_well(client: OpenAI, vendor: OpenAIVendor) -> None:
    calls: dict[str, Any] = {
        "temperature": lambda: client.completions.create(model="instruct", prompt="a", temperature=3),
        "prompt": lambda: client.post("/completions", body={"model": "instruct"}, cast_to=object),
        "messages": lambda: client.post("/chat/completions", body={"model": "fast"}, cast_to=object),
        "input": lambda: client.post("/embeddings", body={"model": "embed"}, cast_to=object),
    }
    for param, call in calls.items():
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert shape(caught.value)[2] == param
    assert vendor.received == []


@WAYS
@pytest.mark.parametrize("field", ["api_base", "base_url", "api_key", "extra_headers", "extra_body"])
def test_a_field_that_would_steer_the_gateway_is_refused(
    client: OpenAI, vendor: OpenAIVendor, field: str, stream: bool
) -> None:
    calls: list[Any] = [lambda: chat(client, stream=stream, extra_body={field: "http://127.0.0.1:9"})]
    if not stream:
        calls.append(lambda: client.embeddings.create(model="embed", input="a", extra_body={field: {}}))
        calls.append(lambda: client.completions.create(model="instruct", prompt="a", extra_body={field: None}))
    for call in calls:
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert shape(caught.value) == (400, "unknown_parameter", field)
    assert vendor.received == []


@WAYS
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (404, openai.NotFoundError), (422, openai.UnprocessableEntityError)],
)
def test_what_the_vendor_says_of_the_request_comes_back_byte_for_byte(
    client: OpenAI, vendor: OpenAIVendor, status: int, error: type[openai.APIStatusError], stream: bool
) -> None:
    vendor.now.status, vendor.now.body = status, REFUSAL
    with pytest.raises(error) as caught:
        chat(client, stream=stream)
    assert caught.value.response.content == REFUSAL
    assert (caught.value.code, caught.value.param) == ("vendors_own", "messages")
    assert [name for name in OWN_HEADERS if name in caught.value.response.headers and name != "x-request-id"] == []


@WAYS
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 529])
def test_what_the_vendor_says_of_the_operator_or_itself_is_an_upstream_error(
    client: OpenAI, vendor: OpenAIVendor, status: int, stream: bool
) -> None:
    vendor.now.status, vendor.now.body = (
        status,
        json.dumps({"error": {"message": f"for {PROVIDER_KEY}", "code": "x"}}).encode(),
    )
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client, stream=stream)
    assert shape(caught.value)[:2] == (502, "upstream_error")
    assert PROVIDER_KEY not in caught.value.response.text


@WAYS
def test_an_answer_that_is_no_json_is_an_upstream_error(client: OpenAI, vendor: OpenAIVendor, stream: bool) -> None:
    vendor.now.status, vendor.now.body = 201, b"<html>Welcome</html>"
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client, stream=stream)
    assert shape(caught.value)[:2] == (502, "upstream_error")
    assert "<" not in caught.value.response.text


@WAYS
@pytest.mark.parametrize("how", ["configured", "asked for"])
def test_a_silent_vendor_is_a_timeout_that_the_sdk_does_not_try_again(
    client: OpenAI, vendor: OpenAIVendor, how: str, stream: bool
) -> None:
    vendor.now.silent = True
    request: dict[str, Any] = {"model": "hurried", "stream": stream}
    if how == "asked for":
        request = {"stream": stream, "extra_headers": {"x-gateway-timeout-ms": "300"}}
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client.with_options(max_retries=2), **request)
    assert shape(caught.value)[:2] == (504, "upstream_timeout")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(vendor.received) == 1


@WAYS
def test_a_body_that_is_too_large_is_refused_unread(client: OpenAI, vendor: OpenAIVendor, stream: bool) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        chat(client, messages=[{"role": "user", "content": "x" * LARGEST_BODY}], stream=stream)
    assert shape(caught.value)[:2] == (413, "request_too_large")
    assert vendor.received == []


@pytest.mark.parametrize("how", ["cut", "end", "error"])
def test_a_stream_that_breaks_raises_while_it_is_read_and_has_no_end(
    client: OpenAI, vendor: OpenAIVendor, how: Any
) -> None:
    vendor.now.break_after, vendor.now.break_by = 5, how
    chunks = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(model="fast", messages=HELLO, stream=True):
            chunks.append(chunk)
    assert len(chunks) == 5
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert caught.value.message


@pytest.mark.parametrize("how", ["cut", "end", "error"])
def test_a_stream_that_breaks_ends_with_an_error_event_and_not_with_done(
    client: OpenAI, vendor: OpenAIVendor, how: Any
) -> None:
    vendor.now.break_after, vendor.now.break_by = 5, how
    sent = text(client.chat.completions.with_raw_response.create(model="fast", messages=HELLO, stream=True))
    blocks = sent.removesuffix("\n\n").split("\n\n")
    assert set(json.loads(blocks[-1].removeprefix("data: "))["error"]) >= {"message", "type", "param", "code"}
    assert "data: [DONE]" not in blocks


@pytest.mark.parametrize("prompt", ["One", ["One", "Two"], [1, 2], [[1], [2, 3]], None], ids=str)
def test_a_completion_that_breaks_raises_whatever_its_prompt_is(
    client: OpenAI, vendor: OpenAIVendor, prompt: Any
) -> None:
    vendor.now.break_after = 2
    with pytest.raises(openai.APIError) as caught:
        list(client.completions.create(model="instruct", prompt=prompt, stream=True))
    assert caught.value.code == "upstream_error"


@pytest.mark.parametrize("how", ["cut", "end", "error"])
def test_a_stream_that_breaks_before_its_first_event_is_an_upstream_error(
    client: OpenAI, vendor: OpenAIVendor, how: Any
) -> None:
    vendor.now.break_after, vendor.now.break_by = 0, how
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client, stream=True)
    assert shape(caught.value)[:2] == (502, "upstream_error")


def test_a_stream_that_falls_silent_breaks_when_its_time_is_over(client: OpenAI, vendor: OpenAIVendor) -> None:
    vendor.now.pause_after = 3
    chunks = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(model="hurried", messages=HELLO, stream=True):
            chunks.append(chunk)
    assert len(chunks) == 3
    assert caught.value.code == "upstream_timeout"


def test_the_gateway_is_well_after_everything_that_failed(client: OpenAI, vendor: OpenAIVendor) -> None:
    for change in ({"status": 500}, {"break_after": 2}, {"break_after": 0, "break_by": "end"}):
        vendor.reset()
        for name, value in change.items():
            setattr(vendor.now, name, value)
        with pytest.raises(openai.APIError):
            chat(client, stream=True)
    vendor.reset()
    assert chat(client).choices[0].finish_reason == "stop"
    assert chat(client, stream=True)[-1].choices[0].finish_reason == "stop"
