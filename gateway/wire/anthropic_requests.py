"""Requests in Anthropic's shape, understood: as OpenAI's chat would have them.

Shapes: https://platform.claude.com/docs/en/api/messages and https://platform.openai.com/docs/api-reference/chat. What
OpenAI's has no place for rides in names of its own there, which vendors of that dialect are not sent: parts of type
`thinking` and `redacted_thinking`, `cache_control` of a part or a tool, `is_error` of a tool's message, and whatever
else a block or a tool has. `anthropic_from_chat` leads back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from gateway.wire.signatures import is_sealed, unsealed

DATA_URL = "data:"
_MARKED = ("cache_control", "citations", "context")  # of a block, beside what it says
CHOICES = {"auto": "auto", "any": "required", "none": "none"}  # Anthropic's `tool_choice` -> OpenAI's
READ = frozenset({
    "messages", "system", "max_tokens", "temperature", "top_p", "top_k", "thinking", "stop_sequences", "tools",
    "tool_choice", "output_config", "output_format",
})  # fmt: skip
_SOURCES = frozenset({"base64", "url", "text"})  # of images and documents; a file's id means nothing to another vendor
_OF_TOOL = frozenset({"type", "name", "description", "input_schema", "strict"})


def to_chat(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a request for a message asks for, as a chat would. The document is one that its schema has accepted. Blocks
    that OpenAI's shape has nothing like stand in it as they came.
    """
    asked: dict[str, Any] = {"messages": [*_system(document.get("system")), *_conversation(document["messages"])]}
    for name in ("max_tokens", "temperature", "top_p", "top_k", "thinking"):
        if document.get(name) is not None:
            asked[name] = document[name]
    if document.get("stop_sequences"):
        asked["stop"] = document["stop_sequences"]
    if document.get("tools"):
        asked["tools"] = [_tool_to_chat(tool) for tool in document["tools"]]
    if choice := document.get("tool_choice"):
        asked |= _choice_to_chat(choice)
    if schema := _schema_of(document):
        schema = {"name": "answer", "schema": schema, "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    if beside := {name: value for name, value in (document.get("output_config") or {}).items() if name != "format"}:
        asked["output_config"] = beside
    return asked


def _system(system: Any) -> Iterator[dict[str, Any]]:
    if isinstance(system, str):
        yield {"role": "system", "content": system}
    elif system:
        yield {"role": "system", "content": [_part(block) for block in system]}


def _conversation(messages: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        role, content = message["role"], message["content"]
        if isinstance(content, str):
            yield {"role": role, "content": content}
        elif role == "assistant":
            yield _assistant(content)
        else:
            yield from _user(content)


def _user(blocks: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Results of tools first, as OpenAI's have to follow the calls."""
    parts = []
    for block in blocks:
        if block["type"] != "tool_result":
            parts.append(_part(block))
            continue
        content = block.get("content", "")
        told = {"role": "tool", "tool_call_id": block["tool_use_id"]}
        told["content"] = content if isinstance(content, str) else [_part(inner) for inner in content]
        if block.get("is_error"):
            told["is_error"] = True
        yield told | marks(block)
    if parts:
        yield {"role": "user", "content": parts}


def _assistant(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    parts, calls, signature = [], [], None
    for block in blocks:
        if block["type"] == "redacted_thinking" and is_sealed(block["data"]):
            signature = block["data"]
        elif block["type"] == "tool_use":
            function = {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()}
            call = {"id": block["id"], "type": "function", "function": function}
            calls.append(call | unsealed(signature) | marks(block))
            signature = None
        else:
            parts.append(_part(block))
    message: dict[str, Any] = {"role": "assistant", "content": parts or None}
    return {**message, "tool_calls": calls} if calls else message


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    kind, source = block["type"], block.get("source") or {}
    if kind in ("image", "document") and source.get("type") not in _SOURCES:
        return dict(block)
    if kind == "text":
        part = {"type": "text", "text": block["text"]}
    elif kind == "image":
        part = {"type": "image_url", "image_url": {"url": _address(block["source"])}}
    elif kind == "document":
        part = {"type": "file", "file": _file(block)}
    elif kind == "thinking":
        part = {"type": "thinking", "thinking": block["thinking"], "signature": block.get("signature", "")}
    elif kind == "redacted_thinking":
        part = {"type": "redacted_thinking", "data": block["data"]}
    else:
        return dict(block)
    return part | marks(block)


def _address(source: Mapping[str, Any]) -> str:
    if source["type"] == "base64":
        return f"{DATA_URL}{source['media_type']};base64,{source['data']}"
    return str(source["url"])


def _file(block: Mapping[str, Any]) -> dict[str, Any]:
    source, named = block["source"], {"filename": block["title"]} if block.get("title") else {}
    if source["type"] == "text":
        return {"file_data": f"{DATA_URL}text/plain,{source['data']}", **named}
    return {"file_data": _address(source), **named}


def marks(block: Mapping[str, Any]) -> dict[str, Any]:
    """What a block, or the part that it became, has beside what it says."""
    return {name: block[name] for name in _MARKED if block.get(name)}


def _tool_to_chat(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom":
        return dict(tool)  # one that the vendor runs itself: another vendor does not know its type
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    function |= {name: tool[name] for name in ("description", "strict") if tool.get(name) is not None}
    beside = {name: value for name, value in tool.items() if name not in _OF_TOOL}
    return {"type": "function", "function": function} | beside


def _choice_to_chat(choice: Mapping[str, Any]) -> dict[str, Any]:
    named = choice["type"] == "tool"
    told: Any = {"type": "function", "function": {"name": choice["name"]}} if named else CHOICES[choice["type"]]
    return {"tool_choice": told} | ({"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {})


def _schema_of(document: Mapping[str, Any]) -> Any:
    config = document.get("output_config") or {}
    wanted = config.get("format") or document.get("output_format") or {}
    return wanted.get("schema") if wanted.get("type") == "json_schema" else None
