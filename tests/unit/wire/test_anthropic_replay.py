"""A kept message is given again as the stream that it would have been."""

from __future__ import annotations

from typing import Any

import httpx2
import orjson
import pytest
from anthropic import Anthropic
from hypothesis import given

from gateway.model import Completion
from gateway.wire import anthropic_replay, sse
from gateway.wire.anthropic_transcript import MessageTranscript
from gateway.wire.dialects import read_whole
from gateway.wire.replay import Replay
from tests.unit.wire.anthropic_messages import messages

SEARCHED: dict[str, Any] = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "gateways"},
         "caller": {"type": "direct"}},
        {"type": "web_search_tool_result", "tool_use_id": "srv_1", "caller": {"type": "direct"}, "content": [
            {"type": "web_search_result", "url": "https://example.test", "title": "T", "encrypted_content": "e",
             "page_age": None}]},
        {"type": "text", "text": "A gateway", "citations": [
            {"type": "web_search_result_location", "url": "https://example.test", "title": "T", "encrypted_index": "i",
             "cited_text": "gateway"}]},
        {"type": "thinking", "thinking": "", "signature": "b21pdHRlZA=="},
        {"type": "text", "text": " is a gate.", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "toolu_2", "name": "look", "input": {"x": [1, "\u00fc"]}, "caller": {"type": "direct"}},
    ],
    "stop_reason": "stop_sequence", "stop_sequence": "END", "stop_details": None,
    "container": {"id": "c_1", "expires_at": "2026-01-01T00:00:00Z"},
    "usage": {
        "input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 1},
        "output_tokens_details": {"thinking_tokens": 5}, "server_tool_use": {"web_search_requests": 1,
        "web_fetch_requests": 0}, "service_tier": "standard", "inference_geo": "eu",
    },
}  # fmt: skip


def replayed(message: dict[str, Any]) -> bytes:
    replay = Replay(read_whole("chat", orjson.dumps(message), "anthropic"))
    assert replay.dialect == "anthropic"
    return b"".join(replay.blocks())


def accumulated(stream: bytes, **beta: Any) -> dict[str, Any]:
    """What Anthropic's SDK makes of a stream."""
    answer = httpx2.Response(200, content=stream, headers={"content-type": "text/event-stream"})
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as http,
        Anthropic(api_key="x", http_client=http, max_retries=0) as client,
        (client.beta if beta else client).messages.stream(
            model="claude", max_tokens=9, messages=[{"role": "user", "content": "a"}]
        ) as told,
    ):
        return told.get_final_message().to_dict(mode="json")


def of_transcript(message: dict[str, Any]) -> Completion:
    transcript = MessageTranscript()
    for event in anthropic_replay.events(message):
        transcript.add(event)
    return transcript.completion()


@pytest.mark.parametrize("beta", [{}, {"beta": True}], ids=["stable", "beta"])
def test_anthropics_sdk_makes_the_same_message_of_the_replay(beta: dict[str, Any]) -> None:
    assert accumulated(replayed(SEARCHED), **beta) == SEARCHED


@given(messages())
def test_the_gateway_itself_makes_the_same_message_of_the_replay(message: dict[str, Any]) -> None:
    assert orjson.loads(of_transcript(message).body) == message


def test_the_start_tells_nothing_of_the_end() -> None:
    begun = orjson.loads(sse.payloads(replayed(SEARCHED))[0])["message"]
    assert (begun["content"], begun["stop_reason"], begun["stop_sequence"]) == ([], None, None)
    assert begun["usage"]["output_tokens"] == 0
    assert begun["usage"]["input_tokens"] == SEARCHED["usage"]["input_tokens"]


def test_what_is_told_beside_the_end_of_a_message_is_kept_and_given_again() -> None:
    message = {**SEARCHED, "context_management": {"applied_edits": []}}
    assert orjson.loads(of_transcript(message).body) == message
    end = orjson.loads(sse.payloads(replayed(message))[-2])
    assert end["context_management"] == {"applied_edits": []}


def test_an_input_that_stands_at_the_start_of_its_block_is_kept_and_counted() -> None:
    transcript = MessageTranscript()
    for event in anthropic_replay.events({**SEARCHED, "content": []}):
        if event["type"] == "message_delta":
            block = {"type": "tool_use", "id": "a", "name": "look", "input": {"x": 1}}
            transcript.add({"type": "content_block_start", "index": 0, "content_block": block})
        transcript.add(event)
    found = transcript.completion()
    assert orjson.loads(found.body)["content"] == [block]
    assert transcript.generated == len('look{"x":1}')
