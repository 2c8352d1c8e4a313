"""Whatever a client sends, in whatever dialect and to whatever vendor: it can be asked, or is refused; nothing breaks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounting.bounds import Bounds
from gateway.accounting.tokens import TokenCounter
from gateway.cache.keys import key_of
from gateway.config.secrets import Redactor, Secret
from gateway.config.settings import ProviderSettings
from gateway.errors import InvalidField
from gateway.model import ModelRequest, Target
from gateway.providers.base import Provider
from gateway.providers.fitting import fitted
from gateway.providers.registry import OF_API
from gateway.routing.affinity import conversation
from gateway.schemas.anthropic import read_messages
from gateway.schemas.openai import read_chat
from gateway.schemas.responses import read_responses

KINDS = {"openai": "gpt-5", "groq": "llama-3", "anthropic": "claude-haiku-4-5", "gemini": "gemini-3-pro"}
PNG = "data:image/png;base64,aGk="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
        ]},
        {"role": "assistant", "content": None, "thinking_blocks": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"}], "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city": "Bern"}'},
             "extra_content": {"google": {"thought_signature": "c2ln"}}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "It rains."}]},
    ],
    "tools": [{"type": "function", "function": {"name": "look", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    "reasoning_effort": "low", "thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000,
    "stop": ["END"], "n": 1, "prompt_cache_key": "k", "metadata": {"a": "b"},
}  # fmt: skip
MESSAGES: dict[str, Any] = {
    "model": "m", "max_tokens": 4000,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "Look", "citations": None},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "aGk="},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Bern"}, "caller": {"type": "x"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True, "content": [
                {"type": "text", "text": "no"}, {"type": "image", "source": {"type": "url", "url": "https://a.test/a.png"}}]},
            {"type": "search_result", "title": "t", "source": "s", "content": []},
        ]},
    ],
    "tools": [{"name": "look", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
    "tool_choice": {"type": "tool", "name": "look", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024}, "stop_sequences": ["END"], "metadata": {"user_id": "u"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "context_management": {"edits": []},
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "m", "instructions": "Be brief.", "max_output_tokens": 4000,
    "input": [
        {"role": "user", "content": [
            {"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": PNG, "detail": "low"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait.", "annotations": []}]},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": "It rains."}]},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "sh", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "a"},
        {"type": "item_reference", "id": "msg_1"},
    ],
    "tools": [{"type": "function", "name": "look", "parameters": SCHEMA, "strict": True}, {"type": "custom", "name": "sh",
              "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}, {"type": "web_search"}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "look"}]},
    "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "client_metadata": {},
}  # fmt: skip

READ: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any], bytes], ModelRequest]]] = {
    "chat": (CHAT, read_chat),
    "messages": (MESSAGES, lambda document, body: read_messages(document, body, {})),
    "responses": (RESPONSES, read_responses),
}
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.sampled_from(["", "x", "type", "text", "user", "日\r\n"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "name", "id", "content", "function", "url", "日"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


@cache
def provider(kind: str) -> Provider:
    settings_ = ProviderSettings(kind, kind, base_url="http://127.0.0.1:9", api_keys=(Secret("k"),))
    return OF_API["openai" if kind == "groq" else kind](settings_, Redactor([]))  # type: ignore[index]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside of a document."""
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for name, part in inner for found in places(part, (*path, name)))]


@st.composite
def spoilt(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """A document with something else in a few of its places, or without them, or with something more."""
    document = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(document)[1:]))
        at: Any = document
        for step in path:
            at = at[step]
        how = draw(st.sampled_from(["other", "other", "without", "more"]))
        if how == "other":
            at[last] = draw(ANY)
        elif how == "without":
            del at[last]
        elif isinstance(at, dict):
            at[draw(st.sampled_from(["n", "type", "function", "max_tokens", "content", "日"]))] = draw(ANY)
    return document


def asked(dialect: str, document: dict[str, Any], kind: str) -> tuple[ModelRequest, tuple[str, ...]] | None:
    """What is sent, and what was left out; None where the client is told that it cannot be. Everything that looks at a
    request on the way does so."""
    try:
        request = READ[dialect][1](document, orjson.dumps(document))
        key_of("t", [], request)
        conversation("t", None, request, "session")
        TokenCounter({}).count_prompt(request)
        fit, dropped = fitted(request, provider(kind), KINDS[kind], refuse_hints=False, lenient=True)
    except InvalidField as error:
        assert error.status == 400
        return None
    Bounds({}, lambda _: None, TokenCounter({})).of(fit, Target(kind, KINDS[kind]), None, None)
    return fit, dropped


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", READ)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_a_client_sends_is_sent_or_refused(dialect: str, kind: str, data: st.DataObject) -> None:
    found = asked(dialect, data.draw(spoilt(READ[dialect][0])), kind)
    if found:
        request, dropped = found
        assert orjson.loads(request.body or b"")
        assert all(name.isascii() and name.isprintable() and "," not in name for name in dropped)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", READ)
def test_what_is_sound_is_asked_once_its_odd_parts_are_left_out(dialect: str, kind: str) -> None:
    document = copy.deepcopy(READ[dialect][0])
    if dialect == "chat" and kind == "anthropic":
        del document["messages"][1]["content"][2]  # sound
    elif dialect == "messages":
        document["messages"][2]["content"].pop()  # a search's result
        if kind in ("openai", "groq"):
            document["messages"][2]["content"][0]["content"].pop()  # an image by its address is fine there
    elif dialect == "responses":
        document["input"] = document["input"][:5]
        document["tool_choice"] = "auto"
    assert asked(dialect, document, kind) is not None
