"""Requests in OpenAI's shape as Anthropic takes them.

Shapes: https://platform.openai.com/docs/api-reference/chat and https://platform.claude.com/docs/en/api/messages;
`anthropic_requests` says what stands in a chat beside OpenAI's own.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.wire.anthropic_requests import CHOICES, DATA_URL, PLAIN_TEXT, marks
from gateway.wire.fields import Untranslatable

_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24_576, "xhigh": 32_768}  # tokens of thinking
_EFFORTS = {"minimal": "low"}  # what Anthropic has no word for
_ADAPTIVE = re.compile(r"claude-(?:(?:opus|sonnet|haiku|fable|mythos)-(?:4-[6-9]|[5-9]|\d\d))")  # no budgets any more
_ENCODED_TEXT = f"{DATA_URL}text/plain;base64,"
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
_LEAST_TOP_P = 0.95
_LEAST_BUDGET = 1024  # tokens; Anthropic takes no less, and `max_tokens` has to be more


def from_chat(asked: Mapping[str, Any], model: str, most: int) -> dict[str, Any]:
    """A request for a message, of what a chat asks for, but for its model. Fields that Anthropic's API has nothing like
    are not looked at: whoever calls has refused or dropped them.

    Args:
        asked: in OpenAI's shape.
        model: who is asked; how it is told to think depends on it.
        most: tokens of an answer, where `asked` does not say; the API wants to be told.

    Raises:
        Untranslatable: a part or a message that it has nothing like.
    """
    system, messages = _messages(asked["messages"])
    document: dict[str, Any] = {"max_tokens": asked.get("max_completion_tokens") or asked.get("max_tokens") or most}
    if system:
        document["system"] = system
    document["messages"] = messages
    for name in ("temperature", "top_p", "top_k"):
        if asked.get(name) is not None:
            document[name] = asked[name]
    if stop := asked.get("stop"):
        document["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if tools := asked.get("tools"):
        document["tools"] = [_tool_from_chat(tool) for tool in tools]
    if choice := _choice_from_chat(asked):
        document["tool_choice"] = choice
    wanted = asked.get("response_format") or {}
    if wanted.get("type") not in (None, "text", "json_schema"):
        raise Untranslatable("response_format", f"the type {str(wanted['type'])[:64]!r}, which has no schema")
    if wanted.get("type") == "json_schema":
        document["output_config"] = {"format": {"type": "json_schema", "schema": wanted["json_schema"]["schema"]}}
    return document | _thinking(asked, model, document)


def _messages(messages: Iterable[Mapping[str, Any]]) -> tuple[Any, list[dict[str, Any]]]:
    """The instructions, wherever they stood, and the turns: messages of one side after each other are one."""
    system: list[dict[str, Any]] = []
    alone: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            alone += [message["content"]] if isinstance(message["content"], str) else []
            system += _blocks(message["content"])
            continue
        if role == "function":
            raise Untranslatable("messages", "a message of role 'function'; send tools")
        blocks: list[dict[str, Any]] | str
        if role == "tool":
            side, blocks = "user", [_result(message)]
        else:
            side = role
            blocks = _spoken(message)
        if not blocks and side == "assistant":
            continue  # it said nothing, which Anthropic takes for a mistake
        if turns and turns[-1]["role"] == side:
            turns[-1]["content"] = _as_blocks(turns[-1]["content"])
            turns[-1]["content"] += _as_blocks(blocks)
        else:
            turns.append({"role": side, "content": blocks})
    if len(system) == len(alone) == 1:
        return alone[0], turns
    return system, turns


def _as_blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _spoken(message: Mapping[str, Any]) -> list[dict[str, Any]] | str:
    content, calls = message.get("content"), message.get("tool_calls") or ()
    thoughts = [_block(thought) for thought in message.get("thinking_blocks") or () if _is_thought(thought)]
    if isinstance(content, str) and not (calls or thoughts):
        return content
    blocks = [*thoughts, *(_blocks(content) if content else ())]
    if refusal := message.get("refusal"):
        blocks.append({"type": "text", "text": refusal})
    return [*blocks, *(_call(call) for call in calls)]


def _is_thought(block: Mapping[str, Any]) -> bool:
    return block["type"] in ("thinking", "redacted_thinking") and _is_own(block)


def _is_own(thought: Mapping[str, Any]) -> bool:
    """Whether a thought may be Anthropic's, which takes none back that it has not signed."""
    return bool(thought.get("signature") or thought.get("data"))


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [_block(part) for part in content if not _is_empty(part)]


def _is_empty(part: Mapping[str, Any]) -> bool:
    """Whether Anthropic would take a part for a mistake: a text without any, a thought that it has not signed."""
    kind = part["type"]
    return (kind == "text" and not part["text"]) or (kind == "thinking" and not _is_own(part))


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind in ("text", "refusal"):
        block = {"type": "text", "text": part[kind]}
    elif kind == "image_url":
        given = part["image_url"]
        block = {"type": "image", "source": _source(given["url"] if isinstance(given, Mapping) else given)}
    elif kind == "file":
        block = _document(part["file"])
    elif kind == "thinking" and isinstance(part.get("thinking"), str):
        block = {"type": "thinking", "thinking": part["thinking"], "signature": part.get("signature") or ""}
    elif kind == "redacted_thinking" and isinstance(part["data"], str):
        block = {"type": "redacted_thinking", "data": part["data"]}
    else:
        raise Untranslatable("messages", f"a part of type {kind[:64]!r}")
    return block | marks(part)


def _source(url: str) -> dict[str, Any]:
    if not url.startswith(DATA_URL):
        return {"type": "url", "url": url}
    head, comma, data = url.removeprefix(DATA_URL).partition(",")
    if not (comma and head.endswith(";base64")):
        raise Untranslatable("messages", "a data URL that is not in base64")
    return {"type": "base64", "media_type": head.removesuffix(";base64"), "data": data}


def _document(file: Mapping[str, Any]) -> dict[str, Any]:
    data = file.get("file_data")
    if not isinstance(data, str):
        raise Untranslatable("messages", "a file by its id")
    if data.startswith(PLAIN_TEXT):
        source = {"type": "text", "media_type": "text/plain", "data": data.removeprefix(PLAIN_TEXT)}
    elif data.startswith(_ENCODED_TEXT):
        text = b64decode(data.removeprefix(_ENCODED_TEXT), validate=True).decode()
        source = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        source = _source(data)
    return {"type": "document", "source": source} | ({"title": file["filename"]} if file.get("filename") else {})


def _result(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content") or ""
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(message["tool_call_id"])}
    block["content"] = content if isinstance(content, str) else _blocks(content)
    return block | ({"is_error": True} if message.get("is_error") else {}) | marks(message)


def _id(of_call: str) -> str:
    """The name of a call, which another vendor may have spelled as Anthropic does not."""
    return _NOT_IN_IDS.sub("_", of_call)


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    if call.get("type", "function") != "function":
        raise Untranslatable("messages", f"a call of type {str(call['type'])[:64]!r}")
    try:
        given = orjson.loads(call["function"]["arguments"] or "{}")
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise Untranslatable("messages", "a call whose arguments are no JSON object")
    return {"type": "tool_use", "id": _id(call["id"]), "name": call["function"]["name"], "input": given} | marks(call)


def _tool_from_chat(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        raise Untranslatable("tools", f"a tool of type {str(tool['type'])[:64]!r}")
    function = tool["function"]
    told = {"name": function["name"], "input_schema": {"type": "object", **(function.get("parameters") or {})}}
    told |= {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    return told | marks(tool)


def _choice_from_chat(asked: Mapping[str, Any]) -> dict[str, Any] | None:
    choice, alone = asked.get("tool_choice"), asked.get("parallel_tool_calls") is False
    if not asked.get("tools") or (choice is None and not alone):
        return None
    if choice is None or isinstance(choice, str):
        kind = {told: own for own, told in CHOICES.items()}[choice or "auto"]
        told: dict[str, Any] = {"type": kind}
    elif choice.get("type") == "function":
        told = {"type": "tool", "name": choice["function"]["name"]}
    else:
        raise Untranslatable("tool_choice", f"a choice of type {str(choice.get('type'))[:64]!r}")
    return told | ({"disable_parallel_tool_use": True} if alone and told["type"] != "none" else {})


def _thinking(asked: Mapping[str, Any], model: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """How much it is to think: as Anthropic's own field says, else as OpenAI's does where the rest allows of it
    (https://platform.claude.com/docs/en/build-with-claude/extended-thinking)."""
    if (thinking := asked.get("thinking")) is not None:
        if type(thinking.get("budget_tokens", 0)) is not int:
            raise Untranslatable("thinking", "a budget that is no whole number")
        return {"thinking": thinking}
    effort, most = asked.get("reasoning_effort") or "none", document["max_tokens"]
    forced = (document.get("tool_choice") or {}).get("type") in ("any", "tool")
    warm, wide = asked.get("temperature") in (None, 1), (asked.get("top_p") or 1) >= _LEAST_TOP_P
    sampled = not (warm and wide) or asked.get("top_k")
    allowed = most >= 2 * _LEAST_BUDGET and not (forced or sampled) and _thought_so_far(document["messages"])
    if effort not in _BUDGETS or not allowed:
        return {}
    if not _ADAPTIVE.search(model):
        return {"thinking": {"type": "enabled", "budget_tokens": min(_BUDGETS[effort], most // 2)}}
    config = {**document.get("output_config", {}), "effort": _EFFORTS.get(effort, effort)}
    return {"thinking": {"type": "adaptive"}, "output_config": config}


def _thought_so_far(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no call of a tool stands without the thought before it, as of a client that does not hand thoughts back:
    a turn that goes on is taken only with the one that it began with."""
    return not any(
        block["type"] == "tool_use" and turn["content"][0]["type"] not in ("thinking", "redacted_thinking")
        for turn in turns[-2:]
        if turn["role"] == "assistant" and not isinstance(turn["content"], str)
        for block in turn["content"]
    )
