"""Requests that came in another dialect as OpenAI's chat takes them.

Shapes: https://platform.openai.com/docs/api-reference/chat. They stand in that form already; what is left are values
that its servers refuse: images among the results of tools, documents of plain text, turns that say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.wire.fields import Untranslatable

_DATA, _PLAIN = "data:", "data:text/plain,"  # the latter comes before a document's text
_CAPS = ("max_completion_tokens", "max_tokens")
_UNNAMED = "document.pdf"  # OpenAI wants a name, and looks at how it ends


def from_chat(asked: Mapping[str, Any], cap: str) -> dict[str, Any]:
    """The request.

    Args:
        asked: what a client asks for.
        cap: the field that caps the answer's tokens at this vendor.

    Raises:
        Untranslatable: its servers take no such document.
    """
    found = {**asked, "messages": list(_messages(asked["messages"]))}
    caps = [most for name in _CAPS if (most := found.pop(name, None)) is not None]
    return {**found, cap: min(caps)} if caps else found


def _messages(messages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Images of tools' results stand in a turn of the user's behind all of them, which have to follow their calls."""
    shown: list[Mapping[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if message["role"] != "tool" and shown:
            yield {"role": "user", "content": shown}
            shown = []
        if isinstance(content, list):
            parts = [_part(part) for part in content]
            if message["role"] == "tool":
                shown += [part for part in parts if part["type"] != "text"]
                parts = [part for part in parts if part["type"] == "text"]
            yield {**message, "content": parts or ""}
        elif content is None and not message.get("tool_calls"):
            yield {**message, "content": ""}
        else:
            yield message
    if shown:
        yield {"role": "user", "content": shown}


def _part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    data = part["file"].get("file_data") if part["type"] == "file" else None
    if not isinstance(data, str):
        return part
    if not data.startswith(_DATA):
        raise Untranslatable("messages", "a document by its address")
    if data.startswith(_PLAIN):
        return {"type": "text", "text": data.removeprefix(_PLAIN)}
    return {**part, "file": {"filename": _UNNAMED, **part["file"]}}
