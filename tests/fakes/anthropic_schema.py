"""Anthropic's published request schema, as the official SDK has it, and the rules that its documentation adds.

Rules: https://platform.claude.com/docs/en/api/errors and the guides to tools, thinking, caching and structured outputs.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from anthropic.types import MessageCountTokensParams
from anthropic.types import message_create_params as messages
from anthropic.types.beta import MessageCountTokensParams as BetaCountTokensParams
from anthropic.types.beta import message_create_params as beta_messages

from tests.fakes.anthropic_answers import REDACTED, blocks, signature
from tests.fakes.typed_dicts import Check

PATHS = MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
OLDER, NEWEST = VERSIONS = "2023-06-01", "2026-10-21"
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})  # of the older version
_HEADERS = ("betas", "user_profile_id", "workspace_id")  # what the SDK sends as headers
_SCHEMAS: dict[str, tuple[Any, Any]] = {  # path -> as it is, and with an `anthropic-beta` header
    MESSAGES: (messages.MessageCreateParamsNonStreaming, beta_messages.MessageCreateParamsNonStreaming),
    "streamed": (messages.MessageCreateParamsStreaming, beta_messages.MessageCreateParamsStreaming),
    COUNT: (MessageCountTokensParams, BetaCountTokensParams),
}
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_OF = {"tool_use": "assistant", "thinking": "assistant", "redacted_thinking": "assistant", "tool_result": "user",
       "image": "user"}  # fmt: skip
_VERSION = re.compile(r"claude-[a-z]+-(\d+)-?(\d)?\b")  # of a model
_MOST_MARKS = 4
_LEAST_BUDGET = 1024  # tokens


def misfits(
    path: str, headers: Mapping[str, str], body: dict[str, Any], allowed: frozenset[str] = frozenset()
) -> list[str]:
    """What is wrong with a request; `allowed` names top-level fields that are not in the schema and may be there."""
    is_newest = headers.get("anthropic-version") == NEWEST
    older = frozenset() if is_newest or path == COUNT else _SAMPLING
    found = _check(path, "anthropic-beta" in headers, body.get("stream") is True).misfits(body, allowed | older)
    if found:
        return found  # the rules are about what has the right shape
    rules = [*_RULES, *([_rules_of_the_newest] if is_newest else ())]
    return [complaint for rule in rules for complaint in rule(body)]


@functools.cache
def _check(path: str, is_beta: bool, streamed: bool) -> Check:
    return Check(_SCHEMAS["streamed" if streamed and path != COUNT else path][is_beta], *_HEADERS)


def _numbers(body: dict[str, Any]) -> Iterator[str]:
    if body.get("max_tokens", 1) < 1:
        yield "max_tokens: Input should be greater than or equal to 1"
    for name in ("temperature", "top_p"):
        value = body.get(name, 0)
        if type(value) not in (int, float) or not 0 <= value <= 1:
            yield f"{name}: range: 0..1"
    if type(body.get("top_k", 0)) is not int or body.get("top_k", 0) < 0:
        yield "top_k: Input should be greater than or equal to 0"
    if not all(text.strip() for text in body.get("stop_sequences", ())):
        yield "stop_sequences: each stop sequence must contain non-whitespace"


def _thinking(body: dict[str, Any]) -> Iterator[str]:
    thinking = body.get("thinking", {"type": "disabled"})
    if thinking["type"] == "disabled":
        return
    if thinking["type"] == "enabled":
        budget = thinking["budget_tokens"]
        if budget < _LEAST_BUDGET:
            yield f"thinking.enabled.budget_tokens: Input should be greater than or equal to {_LEAST_BUDGET}"
        if budget >= body.get("max_tokens", budget + 1):
            yield "`max_tokens` must be greater than `thinking.budget_tokens`"
        yield from _begins_with_thought(_turns(body))
    if body.get("temperature", 1) != 1:
        yield "`temperature` may only be set to 1 when thinking is enabled"
    if "top_k" in body or body.get("top_p", 1) < 0.95:
        yield "`top_k` must be unset and `top_p` at least 0.95 when thinking is enabled"
    if body.get("tool_choice", {"type": "auto"})["type"] in ("any", "tool"):
        yield "Thinking may not be enabled when tool_choice forces tool use."


def _of_the_model(body: dict[str, Any]) -> Iterator[str]:
    """Models up to 4.5 are told how many tokens to think, those from 4.7 on how hard; these take no sampling either."""
    found = _VERSION.match(body["model"])
    version = (int(found[1]), int(found[2] or 0)) if found else (4, 6)
    kind = (body.get("thinking") or {}).get("type")
    if (kind == "adaptive" and version <= (4, 5)) or (kind == "enabled" and version >= (4, 7)):
        yield f'"thinking.type.{kind}" is not supported for this model.'
    if version >= (4, 7):
        yield from (f"`{name}` is deprecated for this model." for name in sorted(_SAMPLING & set(body)))


def _begins_with_thought(turns: list[tuple[str, list[dict[str, Any]]]]) -> Iterator[str]:
    if len(turns) > 1 and any(block["type"] == "tool_result" for block in turns[-1][1]):
        kind = turns[-2][1][0]["type"]
        if kind not in ("thinking", "redacted_thinking"):
            yield f"Expected `thinking` or `redacted_thinking`, but found `{kind}`."


def _tools(body: dict[str, Any]) -> Iterator[str]:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    names = [tool["name"] for tool in tools if "name" in tool]
    if choice and not tools:
        yield "tool_choice: may only be specified while providing `tools`"
    elif choice and choice["type"] == "tool" and choice["name"] not in names:
        yield f"Tool '{choice['name']}' not found in provided tools"
    if len(set(names)) < len(names):
        yield "tools: Tool names must be unique."
    for index, tool in enumerate(tools):
        if not _NAME.fullmatch(tool.get("name", "_")):
            yield f"tools.{index}.custom.name: String should match pattern '^{_NAME.pattern}$'"
        if tool.get("input_schema", {"type": "object"}).get("type") != "object":
            yield f"tools.{index}.custom.input_schema.type: Input should be 'object'"


def _conversation(body: dict[str, Any]) -> Iterator[str]:
    asked = body["messages"]
    if not asked:
        yield "messages: at least one message is required"
    elif asked[0]["role"] != "user":
        yield 'messages: first message must use the "user" role'
    for index, message in enumerate(asked):
        is_last = message["role"] == "assistant" and index == len(asked) - 1
        if not message["content"] and not is_last:
            yield f"messages.{index}: all messages must have non-empty content"
        for at, block in enumerate(blocks(message["content"])):
            where = f"messages.{index}.content.{at}"
            if _OF.get(block["type"], message["role"]) != message["role"]:
                yield f"{where}: `{block['type']}` blocks can only be in `{_OF[block['type']]}` messages"
            yield from (f"{where}: {complaint}" for complaint in _block(block))
    for block in blocks(body.get("system") or []):
        yield from (f"system: {complaint}" for complaint in _block(block))


def _block(block: dict[str, Any]) -> Iterator[str]:
    kind = block["type"]
    if kind == "text" and not block["text"].strip():
        yield "text content blocks must contain non-whitespace text"
    elif kind == "tool_use" and not (_ID.fullmatch(block["id"]) and _NAME.fullmatch(block["name"])):
        yield f"tool_use: id and name should match pattern '^{_ID.pattern}$'"
    elif kind == "thinking" and block["signature"] != signature(block["thinking"]):
        yield "Invalid `signature` in `thinking` block"
    elif kind == "redacted_thinking" and block["data"] != REDACTED:
        yield "Invalid `data` in `redacted_thinking` block"
    elif kind in ("image", "document") and block["source"]["type"] == "base64":
        try:
            base64.b64decode(block["source"]["data"], validate=True)
        except binascii.Error:
            yield f"{kind}.source.base64.data: invalid base64 data"
    elif kind == "tool_result":
        for inner in blocks(block.get("content") or []):
            yield from _block(inner)


def _turns(body: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The conversation, messages of one side after each other as one."""
    turns: list[tuple[str, list[dict[str, Any]]]] = []
    for message in body["messages"]:
        if message["role"] == "system":
            continue
        if turns and turns[-1][0] == message["role"]:
            turns[-1][1].extend(blocks(message["content"]))
        else:
            turns.append((message["role"], list(blocks(message["content"]))))
    return turns


def _calls(body: dict[str, Any]) -> Iterator[str]:
    """A tool's result stands at the beginning of the turn after its call, and every call has one."""
    turns = [("user", []), *_turns(body), ("user", [])]
    seen: set[str] = set()
    for (_, before), (_, after) in pairwise(turns):
        called = [block["id"] for block in before if block["type"] == "tool_use"]
        told = [block["tool_use_id"] for block in after if block["type"] == "tool_result"]
        if len(set(called)) < len(called) or seen & set(called):
            yield "messages: `tool_use` ids must be unique"
        seen.update(called)
        if missing := sorted(set(called) - set(told)):
            yield f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(missing)}"
        if sorted(set(told)) != sorted(told) or set(told) - set(called):
            yield f"unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(told)}"
        if any(block["type"] != "tool_result" for block in after[: len(told)]):
            yield "`tool_result` blocks must come first in the content"


def _marks(body: dict[str, Any]) -> Iterator[str]:
    inner = [block for message in body["messages"] for block in blocks(message["content"])]
    marked = [body, *(body.get("tools") or ()), *blocks(body.get("system") or []), *inner]
    count = sum(bool(one.get("cache_control")) for one in marked)
    if count > _MOST_MARKS:
        yield f"A maximum of {_MOST_MARKS} blocks with cache_control may be provided. Found {count}."


def _schema(body: dict[str, Any]) -> Iterator[str]:
    wanted = (body.get("output_config") or {}).get("format") or {}
    if not all(one.get("additionalProperties") is False for one in _objects(wanted.get("schema", {}))):
        yield "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for inner in schema:
            yield from _objects(inner)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for inner in schema.values():
            yield from _objects(inner)


_RULES: tuple[Callable[[dict[str, Any]], Iterator[str]], ...] = (
    *(_numbers, _of_the_model, _thinking, _tools, _conversation, _calls, _marks, _schema),
)


def _rules_of_the_newest(body: dict[str, Any]) -> Iterator[str]:
    """https://platform.claude.com/docs/en/api/migration-2026-10-21"""
    for message in body["messages"]:
        for block in blocks(message["content"]):
            if message["role"] == "assistant" and block["type"] == "document":
                yield "`document` blocks may not stand directly in an `assistant` message"
            if message["role"] == "user" and block.get("type") == "text" and block.get("citations"):
                yield "`citations` may not be set on a `text` block of a `user` message"
