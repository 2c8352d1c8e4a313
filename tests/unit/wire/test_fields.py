"""The table of fields knows every one that is documented, and what is left out of messages and tools is named."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.schemas.anthropic import MessagesSchema
from gateway.schemas.openai import OURS, ChatSchema
from gateway.schemas.responses import ResponsesSchema
from gateway.wire.fields import APIS, FIELDS, NAMES, Untranslatable, in_words_of, only_known

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "look"}}
ELSEWHERE = {"instructions", "system", "text"}  # what becomes part of the messages, or of fields of its own


@pytest.mark.parametrize(
    ("dialect", "schema"),
    [("openai", ChatSchema), ("responses", ResponsesSchema), ("anthropic", MessagesSchema)],
)
def test_what_becomes_of_each_documented_field_is_said(dialect: Any, schema: Any) -> None:
    known = {in_words_of(dialect, name).partition(".")[0] for name in FIELDS}
    assert set(schema().fields) - OURS - ELSEWHERE <= known


def test_every_name_that_a_dialect_has_of_its_own_is_of_a_field() -> None:
    assert {name for names in NAMES.values() for name in names} <= FIELDS.keys()


@pytest.mark.parametrize("api", APIS)
def test_a_request_that_any_vendor_can_have_stays_as_it_is(api: Any) -> None:
    asked = {"messages": [USER, {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}], "tools": [TOOL]}
    assert only_known(asked, api, lenient=False) == (asked, set())


@pytest.mark.parametrize("api", APIS)
def test_what_is_said_of_tools_goes_where_there_are_none(api: Any) -> None:
    asked = {"messages": [USER], "tool_choice": "auto", "parallel_tool_calls": False, "tools": []}
    assert only_known(asked, api, lenient=False) == ({"messages": [USER]}, set())
    hosted = {**asked, "tools": [{"type": "web_search"}]}
    assert only_known(hosted, api, lenient=True) == ({"messages": [USER]}, {"tools"})
    with pytest.raises(Untranslatable):
        only_known(hosted, api, lenient=False)


@pytest.mark.parametrize(
    ("message", "left_out"),
    [
        ({**USER, "name": "ann"}, {"openai": set(), "anthropic": {"name"}, "gemini": {"name"}}),
        ({**USER, "is_error": True}, {"openai": {"is_error"}, "anthropic": set(), "gemini": set()}),
        ({**USER, "made_up": 1}, {api: {"made_up"} for api in APIS}),
        ({**USER, "made_up": None, "annotations": [1]}, {api: set() for api in APIS}),
        (
            {**USER, "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
            {"openai": {"cache_control"}, "anthropic": set(), "gemini": {"cache_control"}},
        ),
        (
            {**USER, "content": [{"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]},
            {"openai": set(), "anthropic": {"detail"}, "gemini": {"detail"}},
        ),
        (
            {"role": "assistant", "content": "x", "thinking_blocks": [{"type": "thinking"}]},
            {"openai": {"thoughts"}, "anthropic": set(), "gemini": {"thoughts"}},
        ),
    ],
)
def test_what_an_api_has_no_place_for_is_named(message: dict[str, Any], left_out: dict[str, set[str]]) -> None:
    assert {api: only_known({"messages": [message]}, api, lenient=False)[1] for api in APIS} == left_out
