"""Which conversations are taken, and how the one thing that is wrong in a long one is named."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InvalidField
from gateway.schemas.openai import read_chat

TEXT = {"type": "text", "text": "hi"}


def fault(*messages: Any) -> tuple[str | None, str]:
    with pytest.raises(InvalidField) as caught:
        read_chat({"messages": list(messages)}, b"{}")
    assert caught.value.message.startswith(f"'{caught.value.param}' ")
    return caught.value.param, caught.value.code


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
@pytest.mark.parametrize("content", ["hi", "", [TEXT], []])
def test_every_documented_role_speaks_in_text_or_parts(role: str, content: Any) -> None:
    messages = [{"role": role, "content": content}]
    assert read_chat({"messages": messages}, b"{}").asked["messages"] is messages


@pytest.mark.parametrize(
    "part",
    [
        TEXT,
        {"type": "refusal", "refusal": "no"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": "https://example.org/a.png"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {**TEXT, "cache_control": {"type": "ephemeral"}},
    ],
)
def test_every_documented_part_is_taken_with_what_vendors_add_to_it(part: dict[str, Any]) -> None:
    read_chat({"messages": [user([part, TEXT])]}, b"{}")


@pytest.mark.parametrize("count", [1, 10_000])
def test_a_conversation_has_up_to_10_000_messages(count: int) -> None:
    read_chat({"messages": [user("hi")] * count}, b"{}")


@pytest.mark.parametrize("count", [0, 10_001])
def test_none_and_more_than_10_000_messages_are_refused(count: int) -> None:
    assert fault(*[user("hi")] * count) == ("messages", "invalid_value")


@pytest.mark.parametrize(
    ("message", "at", "code"),
    [
        ("hi", "", "invalid_type"),
        (None, "", "invalid_type"),
        ({"content": "hi"}, ".role", "missing_required_parameter"),
        ({"role": 1, "content": "hi"}, ".role", "invalid_type"),
        ({"role": ["user"], "content": "hi"}, ".role", "invalid_type"),
        ({"role": None, "content": "hi"}, ".role", "invalid_type"),
        ({"role": "owner", "content": "hi"}, ".role", "invalid_value"),
        ({"role": "user"}, ".content", "missing_required_parameter"),
        ({"role": "tool", "tool_call_id": "1"}, ".content", "missing_required_parameter"),
        (user(None), ".content", "invalid_type"),
        ({"role": "system", "content": None}, ".content", "invalid_type"),
        ({"role": "tool", "content": None}, ".content", "invalid_type"),
        (user(1), ".content", "invalid_type"),
        (user({"type": "text"}), ".content", "invalid_type"),
        (user([TEXT, "hi"]), ".content[1]", "invalid_type"),
        (user([{}]), ".content[0].type", "missing_required_parameter"),
        (user([{"type": 1}]), ".content[0].type", "invalid_type"),
        (user([{"type": []}]), ".content[0].type", "invalid_type"),
        (user([{"type": "hologram"}]), ".content[0].type", "invalid_value"),
        (user([{"type": "text"}]), ".content[0].text", "missing_required_parameter"),
        (user([{"type": "text", "text": None}]), ".content[0].text", "invalid_type"),
        (user([{"type": "image_url", "image_url": 1}]), ".content[0].image_url", "invalid_type"),
        (user([{"type": "file", "file": "a"}]), ".content[0].file", "invalid_type"),
        ({"role": "assistant", "content": 1}, ".content", "invalid_type"),
        ({"role": "assistant", "tool_calls": {}}, ".tool_calls", "invalid_type"),
        ({"role": "assistant", "tool_calls": [{}, 1]}, ".tool_calls[1]", "invalid_type"),
    ],
)
def test_what_is_wrong_in_a_message_is_named_by_its_path(message: Any, at: str, code: str) -> None:
    assert fault(user("hi"), user("hi"), user("hi"), message) == (f"messages[3]{at}", code)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": None, "tool_calls": None},
        {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "function", "name": "f", "content": None},
        {"role": "assistant", "content": "hi", "reasoning_content": "hm", "prefix": True},
    ],
)  # fmt: skip
def test_what_calls_or_answers_a_function_may_be_silent_and_unknown_names_pass(message: dict[str, Any]) -> None:
    read_chat({"messages": [user("hi"), message]}, b"{}")


def test_an_error_never_quotes_what_the_client_wrote() -> None:
    for message in ({"role": "s3cret", "content": ""}, user([{"type": "s3cret"}])):
        with pytest.raises(InvalidField) as caught:
            read_chat({"messages": [message]}, b"{}")
        assert "s3cret" not in caught.value.message
