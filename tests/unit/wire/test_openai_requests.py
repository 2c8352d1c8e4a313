"""Requests that came in another dialect, with what OpenAI's servers refuse put right."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.fields import Untranslatable
from gateway.wire.openai_requests import from_chat

USER = {"role": "user", "content": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
TEXT = {"type": "text", "text": "Look"}


def made(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return from_chat({"messages": list(messages), **more}, "max_tokens")


def result(number: int, *parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": list(parts)}


def test_images_among_results_stand_in_a_turn_of_the_users_behind_all_results() -> None:
    told = made(USER, result(1, TEXT, IMAGE), result(2, IMAGE), USER)["messages"]
    assert told == [
        USER,
        {"role": "tool", "tool_call_id": "call_1", "content": [TEXT]},
        {"role": "tool", "tool_call_id": "call_2", "content": ""},
        {"role": "user", "content": [IMAGE, IMAGE]},
        USER,
    ]
    assert made(USER, result(1, IMAGE))["messages"][-1] == {"role": "user", "content": [IMAGE]}


def test_a_turn_that_says_nothing_says_so() -> None:
    assert made(USER, {"role": "assistant", "content": None})["messages"][1] == {"role": "assistant", "content": ""}
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]}
    assert made(USER, calls)["messages"][1] == calls


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ({"file_data": "data:text/plain,Hello"}, {"type": "text", "text": "Hello"}),
        (
            {"file_data": "data:application/pdf;base64,aGk="},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        ),
        (
            {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        ),
        ({"file_id": "file-1"}, {"type": "file", "file": {"file_id": "file-1"}}),
    ],
)
def test_a_document_has_the_form_that_openai_takes(file: dict[str, Any], part: dict[str, Any]) -> None:
    assert made({"role": "user", "content": [{"type": "file", "file": file}]})["messages"][0]["content"] == [part]


def test_a_document_by_its_address_is_none_that_openai_takes() -> None:
    with pytest.raises(Untranslatable, match="address"):
        made({"role": "user", "content": [{"type": "file", "file": {"file_data": "https://example.test/a.pdf"}}]})


@pytest.mark.parametrize(
    "caps", [{"max_tokens": 7}, {"max_completion_tokens": 7}, {"max_tokens": 9, "max_completion_tokens": 7}]
)
def test_the_cap_has_the_one_name_that_the_vendor_takes(caps: dict[str, int]) -> None:
    told = made(USER, **caps)
    assert {name: value for name, value in told.items() if name.startswith("max_")} == {"max_tokens": 7}
