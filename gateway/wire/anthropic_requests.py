"""Requests in Anthropic's shape, understood: as OpenAI's chat would have them.

Shapes: https://platform.claude.com/docs/en/api/messages and https://platform.openai.com/docs/api-reference/chat. What
OpenAI's has no place for rides in names of its own there, which vendors of that dialect are not sent: parts of type
`thinking` and `redacted_thinking`, `cache_control` of a part or a tool, `is_error` of a tool's message, and whatever
else a block or a tool has. `anthropic_from_chat` leads back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from gateway.wire.edit import edited
from gateway.wire.fields import beside
from gateway.wire.signatures import is_sealed, unsealed

DATA_URL = "data:"
PLAIN_TEXT = f"{DATA_URL}text/plain,"  # what a document of text comes behind
CHOICES = {"auto": "auto", "any": "required", "none": "none"}  # Anthropic's `tool_choice` -> OpenAI's
READ = frozenset({
    "messages", "system", "max_tokens", "temperature", "top_p", "top_k", "thinking", "stop_sequences", "tools",
    "tool_choice", "output_config", "output_format",
})  # fmt: skip
_MARKS = ("cache_control", "citations", "context")  # of a block, beside what it says
_OF_TURN = frozenset({"role", "content"})
_OF_TOOL = frozenset({"type", "name", "description", "input_schema", "strict"})
_OF_BLOCK: Mapping[str, frozenset[str]] = {
    "text": frozenset({"type", "text"}),
    "image": frozenset({"type", "source"}),
    "document": frozenset({"type", "source", "title"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error"}),
}
_OF_SOURCE = {"base64": ("media_type", "data"), "url": ("url",), "text": ("data",)}  # a file's id is the vendor's own
_OF_CHATS = frozenset({"image_url", "input_audio", "file", "refusal", "function"})  # types that mean something there
_MAYBE_FOREIGN = re.compile(rb'"redacted_thinking"|"signature"\s*+:\s*+""')


def to_chat(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a request for a message asks for, as a chat would. The document is one that its schema has accepted. What
    OpenAI's shape has nothing like stands in it as it came.
    """
    asked: dict[str, Any] = {"messages": [*_system(document.get("system")), *_conversation(document["messages"])]}
    for name in ("max_tokens", "temperature", "top_p", "top_k", "thinking"):
        if document.get(name) is not None:
            asked[name] = document[name]
    if document.get("stop_sequences"):
        asked["stop"] = document["stop_sequences"]
    if document.get("tools"):
        asked["tools"] = [_tool(tool) for tool in document["tools"]]
    if choice := document.get("tool_choice"):
        asked |= _choice(choice)
    config = document.get("output_config") or {}
    wanted = config.get("format") or document.get("output_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        schema = {"name": "answer", "schema": wanted.get("schema"), "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wanted is not None:
        asked["response_format"] = wanted
    if beside := {name: value for name, value in config.items() if name != "format"}:
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
        more = beside("anthropic", message, _OF_TURN)
        if isinstance(content, str):
            yield {"role": role, "content": content, **more}
        elif role == "assistant":
            yield _assistant(content) | more
        else:
            yield from ({**turn, **more} for turn in _said(role, content))


def _said(role: str, blocks: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Results of tools first, as OpenAI's have to follow the calls."""
    parts = []
    for block in blocks:
        if block["type"] != "tool_result":
            parts.append(_part(block))
            continue
        content = block.get("content") or ""
        told = {"role": "tool", "tool_call_id": block["tool_use_id"]}
        told["content"] = content if isinstance(content, str) else [_part(inner) for inner in content]
        yield told | ({"is_error": True} if block.get("is_error") else {}) | _beside(block)
    if parts:
        yield {"role": role, "content": parts}


def _assistant(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    parts, calls, signature = [], [], None
    for block in blocks:
        if block["type"] == "redacted_thinking" and is_sealed(block["data"]):
            signature = block["data"]
        elif block["type"] == "tool_use":
            function = {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()}
            call = {"id": block["id"], "type": "function", "function": function}
            calls.append(_beside(block) | call | unsealed(signature))
            signature = None
        else:
            parts.append(_part(block))
    message: dict[str, Any] = {"role": "assistant", "content": parts or None}
    return {**message, "tool_calls": calls} if calls else message


def _part(block: Mapping[str, Any]) -> dict[str, Any]:
    kind, source = block["type"], block.get("source") or {}
    if kind == "text":
        part: dict[str, Any] = {"type": "text", "text": block["text"]}
    elif kind == "image" and _is_whole(source) and source["type"] != "text":
        part = {"type": "image_url", "image_url": {"url": _address(source)}}
    elif kind == "document" and _is_whole(source):
        data = PLAIN_TEXT + source["data"] if source["type"] == "text" else _address(source)
        part = {"type": "file", "file": {"file_data": data}}
        if block.get("title"):
            part["file"]["filename"] = block["title"]
    elif kind == "thinking":
        part = {"type": "thinking", "thinking": block["thinking"], "signature": block.get("signature", "")}
    elif kind == "redacted_thinking":
        part = {"type": "redacted_thinking", "data": block["data"]}
    else:
        return {**block, "type": _apart(kind)}
    return _beside(block) | part


def _is_whole(source: Mapping[str, Any]) -> bool:
    kind = source.get("type")
    return kind in _OF_SOURCE and all(isinstance(source.get(name), str) for name in _OF_SOURCE[kind])


def _address(source: Mapping[str, Any]) -> str:
    if source["type"] == "base64":
        return f"{DATA_URL}{source['media_type']};base64,{source['data']}"
    return str(source["url"])


def _apart(kind: str) -> str:
    """A type that this dialect does not document, so that it is not taken for one of a chat's."""
    return f"anthropic:{kind}" if kind in _OF_CHATS else kind


def _beside(block: Mapping[str, Any]) -> dict[str, Any]:
    """What a block has beside what its type documents."""
    return beside("anthropic", block, _OF_BLOCK[block["type"]])


def marks(part: Mapping[str, Any]) -> dict[str, Any]:
    """What Anthropic's blocks may have of what a chat's part has beside its own."""
    return {name: part[name] for name in _MARKS if part.get(name)}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        return {**tool, "type": _apart(str(tool["type"]))}  # the vendor runs it itself, and another one knows it not
    function = {"name": tool["name"], "parameters": tool.get("input_schema")}
    function |= {name: tool[name] for name in ("description", "strict") if tool.get(name) is not None}
    return beside("anthropic", tool, _OF_TOOL) | {"type": "function", "function": function}


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    if choice["type"] == "tool":
        told: Any = {"type": "function", "function": {"name": choice.get("name")}}
    else:
        told = CHOICES.get(choice["type"], choice)
    return {"tool_choice": told} | ({"parallel_tool_calls": False} if choice.get("disable_parallel_tool_use") else {})


def without_foreign(body: bytes) -> bytes:
    """A request without thoughts of other vendors' models, which Anthropic refuses: a conversation may have been with
    one for a while. The same bytes where it has none.

    Args:
        body: one that its schema has accepted.
    """
    if not _MAYBE_FOREIGN.search(body):
        return body
    messages = orjson.loads(body)["messages"]
    kept = [own for message in messages if (own := _own(message))["content"] or not message["content"]]
    return body if kept == messages else edited(body, {"messages": kept})


def _own(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return message
    return {**message, "content": [block for block in content if not _is_foreign(block)]}


def _is_foreign(block: Mapping[str, Any]) -> bool:
    if block["type"] == "thinking":
        return not block.get("signature")
    return block["type"] == "redacted_thinking" and is_sealed(block["data"])
