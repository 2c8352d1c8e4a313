"""The fake Anthropic that other tests rely on: it takes what the official SDK sends, and nothing that does not fit."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from pydantic import BaseModel

from tests.fakes.anthropic_answers import REDACT, REDACTED, REFUSE, answer, events, signature
from tests.fakes.anthropic_vendor import DRESSES, OWN_HEADERS, PROVIDER_KEY, RETRY_AFTER, AnthropicVendor

MODEL = "claude-haiku-4-5"
NEWER = "claude-opus-5-5"
HELLO: Any = [{"role": "user", "content": "Hello, Wörld 🙂"}]
CLOCK: Any = {"name": "clock", "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}}}
WEATHER: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"days": {"type": "integer"}}}}
PIXEL = base64.b64encode(b"\x89PNG" + bytes(66)).decode()
IMAGE: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
CALL: Any = {"type": "tool_use", "id": "toolu_1", "name": "clock", "input": {}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "noon"}
OPEN: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
MARK: Any = {"cache_control": {"type": "ephemeral"}}


class Town(BaseModel):
    name: str
    people: int


@pytest.fixture(scope="module")
def server() -> Iterator[AnthropicVendor]:
    with AnthropicVendor(behind_gateway=False) as server:
        yield server


@pytest.fixture
def vendor(server: AnthropicVendor) -> AnthropicVendor:
    server.reset()
    return server


@pytest.fixture(scope="module")
def client(server: AnthropicVendor) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.base_url, api_key=PROVIDER_KEY, max_retries=0) as client:
        yield client


def ask(client: Anthropic, stream: bool = False, **more: Any) -> Any:
    """A whole message, put together by the SDK where it is streamed."""
    request: dict[str, Any] = {"model": MODEL, "max_tokens": 2000, "messages": HELLO, **more}
    if not stream:
        return client.messages.create(**request)
    with client.messages.stream(**request) as told:
        return told.get_final_message()


def said(role: str, *blocks: Any) -> Any:
    return {"role": role, "content": list(blocks)}


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"n": 2}, "n: Extra inputs are not permitted"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"max_tokens": 5.0}, "max_tokens: Input should be a valid integer"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [said("assistant", CALL)]}, 'messages: first message must use the "user" role'),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0: Input tag 'tool' found using 'role'"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages.0.user.content.0.text.text: "),
        ({"messages": [said("user", {"type": "text", "text": "a", "name": "b"})]}, "messages.0.user.content.0.text.name: Extra"),
        ({"messages": [said("user", {"type": "text", "text": ""})]}, "messages.0.content.0: text content blocks must"),
        ({"messages": [said("user", {"type": "image_url", "image_url": {}})]}, "messages.0.user.content.0: Input tag"),
        ({"messages": [said("user", CALL)]}, "messages.0.content.0: `tool_use` blocks can only be in `assistant`"),
        ({"messages": [*HELLO, said("assistant", CALL)]}, "`tool_use` ids were found without `tool_result` blocks"),
        ({"messages": [*HELLO, said("assistant", CALL), *HELLO]}, "`tool_use` ids were found without `tool_result`"),
        ({"messages": [said("user", RESULT)]}, "unexpected `tool_use_id` found"),
        ({"messages": [*HELLO, said("assistant", CALL), said("user", {"type": "text", "text": "a"}, RESULT)]}, "`tool_result` blocks must come first"),
        ({"messages": [*HELLO, said("assistant", {**CALL, "id": "call|1"})]}, "messages.1.content.0: tool_use: id"),
        ({"messages": [*HELLO, said("assistant", {"type": "thinking", "thinking": "a", "signature": "b"})]}, "messages.1.content.0: Invalid `signature`"),
        ({"messages": [*HELLO, said("assistant", {"type": "thinking", "thinking": "a", "signature": signature("b")})]}, "messages.1.content.0: Invalid `signature`"),
        ({"messages": [*HELLO, said("assistant", CALL), said("user", RESULT)], "thinking": THINKING}, "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
        ({"messages": [said("user", {**IMAGE, "source": {**IMAGE["source"], "data": "?"}})]}, "messages.0.content.0: image.source.base64.data"),
        ({"thinking": {**THINKING, "budget_tokens": 1000}}, "thinking.enabled.budget_tokens: "),
        ({"thinking": {**THINKING, "budget_tokens": 2000}}, "`max_tokens` must be greater than `thinking.budget_tokens`"),
        ({"thinking": THINKING, "tools": [CLOCK], "tool_choice": {"type": "any"}}, "Thinking may not be enabled when tool_choice"),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: may only be specified"),
        ({"tools": [CLOCK], "tool_choice": {"type": "tool", "name": "b"}}, "Tool 'b' not found"),
        ({"tools": [CLOCK, CLOCK]}, "tools: Tool names must be unique."),
        ({"tools": [{**CLOCK, "name": "a b"}]}, "tools.0.custom.name: "),
        ({"tools": [{**CLOCK, "input_schema": {}}]}, "tools.0.custom.input_schema.type: "),
        ({"tools": [{"type": "function", "function": CLOCK}]}, "tools.0."),
        ({"temperature": 0.5}, "temperature: Extra inputs are not permitted"),
        ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence"),
        ({"output_config": {"format": {"type": "json_schema", "schema": OPEN}}}, "output_config.format.schema: "),
        ({"system": [{"type": "text", "text": "a", **MARK}] * 5}, "A maximum of 4 blocks with cache_control"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("beta", [{}, {"anthropic-beta": "context-management-2025-06-27"}], ids=["", "beta"])
def test_a_request_that_does_not_fit_is_refused_and_remembered(
    client: Anthropic, vendor: AnthropicVendor, more: dict[str, Any], complaint: str, beta: dict[str, str]
) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client, extra_body=more, extra_headers=beta)
    assert vendor.complaints[0].startswith(complaint)
    assert caught.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    assert complaint in caught.value.message


def test_the_older_version_takes_sampling_within_its_bounds(client: Anthropic, vendor: AnthropicVendor) -> None:
    older = client.with_options(default_headers={"anthropic-version": "2023-06-01"})
    ask(older, extra_body={"temperature": 1, "top_p": 0.5, "top_k": 3})
    for wrong in ({"temperature": 1.5}, {"top_p": -1}, {"top_k": -1}, {"temperature": 0, "thinking": THINKING}):
        with pytest.raises(anthropic.BadRequestError):
            ask(older, extra_body=wrong)
    assert len(vendor.complaints) == 4


@pytest.mark.parametrize(
    ("model", "more"),
    [(MODEL, {"thinking": {"type": "adaptive"}}), (NEWER, {"thinking": THINKING}), (NEWER, {"temperature": 1})],
    ids=str,
)
def test_a_model_takes_what_its_generation_knows(
    client: Anthropic, vendor: AnthropicVendor, model: str, more: dict[str, Any]
) -> None:
    older = client.with_options(default_headers={"anthropic-version": "2023-06-01"})
    with pytest.raises(anthropic.BadRequestError):
        ask(older, model=model, extra_body=more)
    ask(older, model=NEWER if model == MODEL else MODEL, extra_body=more)
    assert len(vendor.complaints) == 1


def test_a_header_of_the_sdk_is_a_complaint_where_a_gateway_should_be() -> None:
    with (
        AnthropicVendor(secret="secret-of-a-client") as vendor,
        Anthropic(base_url=vendor.base_url, api_key="unused", max_retries=0) as client,
    ):
        asking = client.with_options(default_headers={"x-api-key": PROVIDER_KEY, "anthropic-x": "secret-of-a-client"})
        with pytest.raises(anthropic.BadRequestError):
            ask(asking)
        assert {"header x-stainless-lang", "header authorization", "the client's key"} <= set(vendor.complaints)
        with pytest.raises(anthropic.AuthenticationError):
            ask(client)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tools_work_all_the_way_round(client: Anthropic, vendor: AnthropicVendor, stream: bool) -> None:
    asked: dict[str, Any] = {"tools": [CLOCK, WEATHER], "thinking": THINKING}
    first = ask(client, stream, **asked)
    assert [block.type for block in first.content] == ["thinking", "text", "tool_use", "tool_use"]
    calls = [block for block in first.content if block.type == "tool_use"]
    assert ([call.input for call in calls], first.stop_reason) == ([{"zone": "München ☕"}, {"days": 42}], "tool_use")
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"{call.name}: ☀️"} for call in calls]
    turns = [*HELLO, said("assistant", *first.content), said("user", *results)]
    second = ask(client, stream, **asked, messages=turns)
    assert second.content[0].text == 'The tools said ["clock: ☀️", "weather: ☀️"].'
    assert (second.stop_reason, vendor.complaints) == ("end_turn", [])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thoughts_are_signed_and_taken_back(client: Anthropic, vendor: AnthropicVendor, stream: bool) -> None:
    asked = [{"role": "user", "content": REDACT}]
    first = ask(client, stream, messages=asked, thinking=THINKING)
    assert [block.type for block in first.content] == ["thinking", "redacted_thinking", "text"]
    assert first.content[0].signature == signature(first.content[0].thinking)
    assert first.content[1].data == REDACTED
    assert 0 < first.usage.output_tokens_details.thinking_tokens < first.usage.output_tokens
    ask(client, stream, messages=[*asked, said("assistant", *first.content), *HELLO], thinking=THINKING)
    hidden = ask(client, stream, model=NEWER, thinking={"type": "adaptive", "display": "omitted"})
    assert (hidden.content[0].thinking, hidden.content[0].signature) == ("", signature(""))
    assert vendor.complaints == []


def test_an_answer_says_what_it_was_shown(client: Anthropic, vendor: AnthropicVendor) -> None:
    shown = ask(client, messages=[said("user", {"type": "text", "text": "What?"}, IMAGE)])
    assert shown.content[0].text.startswith("Answer to “What?” with image/png of 70 bytes: ")
    refused = ask(client, messages=[{"role": "user", "content": f"Please {REFUSE}"}])
    assert (refused.stop_reason, refused.stop_details.type) == ("refusal", "refusal")
    cut = ask(client, max_tokens=3)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)
    stopped = ask(client, stop_sequences=["never", "Wörld"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "Wörld")
    assert stopped.content[0].text == "Answer to “Hello, "
    parsed = client.messages.parse(model=MODEL, max_tokens=2000, messages=HELLO, output_format=Town)
    assert parsed.parsed_output == Town(name="München ☕", people=42)
    assert vendor.complaints == []


def test_a_prompt_is_written_to_the_cache_and_then_read(client: Anthropic, vendor: AnthropicVendor) -> None:
    system: Any = [
        {"type": "text", "text": "Be brief. " * 50, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "Be kind. " * 50, **MARK},
    ]
    first, again = (ask(client, system=system).usage for _ in range(2))
    plain = ask(client, system=[{**block, "cache_control": None} for block in system]).usage
    split = first.cache_creation
    assert split.ephemeral_1h_input_tokens > split.ephemeral_5m_input_tokens > 0
    assert first.cache_creation_input_tokens == split.ephemeral_1h_input_tokens + split.ephemeral_5m_input_tokens
    assert (first.cache_read_input_tokens, again.cache_creation_input_tokens) == (0, 0)
    assert again.cache_read_input_tokens == first.cache_creation_input_tokens
    assert first.input_tokens == again.input_tokens == plain.input_tokens - first.cache_creation_input_tokens
    longer = ask(client, system=system, messages=[said("user", {"type": "text", "text": "More", **MARK})]).usage
    assert longer.cache_read_input_tokens == first.cache_creation_input_tokens
    assert (longer.cache_creation_input_tokens > 0, longer.input_tokens) == (True, 0)
    assert vendor.complaints == []


def test_tokens_are_counted_as_they_are_billed(client: Anthropic, vendor: AnthropicVendor) -> None:
    asked: Any = {"system": "Be brief", "tools": [CLOCK], "messages": HELLO}
    counted = client.messages.count_tokens(model=MODEL, **asked).input_tokens
    assert counted == ask(client, **asked).usage.input_tokens
    assert client.beta.messages.count_tokens(model=MODEL, betas=["a-2026-01-01"], **asked).input_tokens == counted
    assert vendor.complaints == []


def test_only_who_asks_for_beta_may_use_it(client: Anthropic, vendor: AnthropicVendor) -> None:
    edits: Any = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    beta = ["context-management-2025-06-27"]
    told = client.beta.messages.create(
        model=MODEL, max_tokens=9, messages=HELLO, betas=beta, context_management=edits
    )  # fmt: skip
    assert (told.stop_reason, vendor.complaints) == ("max_tokens", [])
    with pytest.raises(anthropic.BadRequestError):
        ask(client, extra_body={"context_management": edits})


def test_the_models_are_listed(client: Anthropic, vendor: AnthropicVendor) -> None:
    listed = [*client.models.list()]
    assert [model.id for model in listed] == ["claude-opus-5-5", "claude-haiku-4-5-20251001"]
    assert client.models.retrieve("claude-opus-5-5") == listed[0]
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("claude-0")
    assert vendor.complaints == []


@pytest.mark.parametrize(
    ("status", "kind", "raised"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (529, "overloaded_error", anthropic.APIStatusError),
    ],
)
def test_a_failure_is_told_in_anthropics_words(
    client: Anthropic, vendor: AnthropicVendor, status: int, kind: str, raised: type[anthropic.APIStatusError]
) -> None:
    vendor.now.status = status
    with pytest.raises(raised) as caught:
        ask(client)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert caught.value.request_id == OWN_HEADERS["request-id"] == body["request_id"]
    assert caught.value.response.headers.get("retry-after") == (RETRY_AFTER if status == 429 else None)


def test_a_stream_may_be_cut_off_with_an_error_event(client: Anthropic, vendor: AnthropicVendor) -> None:
    vendor.now.break_after, vendor.now.break_by = 4, "error"
    seen = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        for event in client.messages.create(model=MODEL, max_tokens=50, messages=HELLO, stream=True):
            seen.append(event.type)
    assert seen == ["message_start", "content_block_start", "content_block_delta"]  # the SDK keeps pings to itself
    assert "overloaded_error" in str(caught.value.body)


@pytest.mark.parametrize("dress", DRESSES)
def test_a_stream_reads_alike_in_every_dress(client: Anthropic, vendor: AnthropicVendor, dress: str) -> None:
    vendor.now.dress, vendor.now.cut = dress, 1
    assert ask(client, stream=True).content[0].text == ask(client).content[0].text


@pytest.mark.parametrize(
    "more",
    [{}, {"tools": [CLOCK, WEATHER], "thinking": THINKING}, {"max_tokens": 2}, {"stop_sequences": ["Wörld"]}],
    ids=str,
)
def test_a_streamed_answer_is_the_whole_one_in_pieces_and_in_the_documented_order(more: dict[str, Any]) -> None:
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 2000, "messages": HELLO, **more}
    whole, streamed = answer(body, 1), list(events(body, 1))
    kinds = [event["type"] for event in streamed]
    order = ["message_start", *["content_block_start", "content_block_stop"] * len(whole["content"]), "message_delta"]
    assert [kind for kind in kinds if kind not in ("ping", "content_block_delta")] == [*order, "message_stop"]
    assert "ping" in kinds
    assert streamed[0]["message"]["usage"]["input_tokens"] == whole["usage"]["input_tokens"]
    assert {**whole["usage"], **streamed[-2]["usage"]} == whole["usage"]
    assert {**whole, **streamed[-2]["delta"]} == whole
    for index, block in enumerate(whole["content"]):
        deltas = [event["delta"] for event in streamed if event.get("index") == index and "delta" in event]
        given = "".join(delta.get(name, "") for delta in deltas for name in ("text", "thinking", "partial_json"))
        said = block.get("input") or block.get("text") or block["thinking"]
        assert (json.loads(given) if "input" in block else given) == said
