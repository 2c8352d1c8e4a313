"""What a chat's message or delta says, as much of it as can be read, whatever a vendor has put in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def said(spoken: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What its content says, in pieces: each a `text`, a `refusal` or a `thinking`, and not empty.

    Mistral's models answer in parts where they think: https://docs.mistral.ai/capabilities/reasoning.
    """
    content = spoken.get("content")
    if isinstance(content, str):
        if content:
            yield "text", content
        return
    for part in objects_of(content):
        thoughts = objects_of(part.get("thinking"))
        thought = "".join(text_of(inner.get("text")) for inner in thoughts) or text_of(part.get("thinking"))
        for kind, text in (("thinking", thought), *((kind, text_of(part.get(kind))) for kind in ("text", "refusal"))):
            if text:
                yield kind, text


def reasoning(spoken: Mapping[str, Any]) -> str:
    """The thoughts that stand beside its content; vendors have two names for them."""
    return text_of(spoken.get("reasoning_content")) or text_of(spoken.get("reasoning"))


def thinking_blocks(spoken: Mapping[str, Any]) -> list[dict[str, str]]:
    """Anthropic's blocks of thought in it."""
    return [
        {"type": "thinking", "thinking": text_of(block.get("thinking")), "signature": text_of(block.get("signature"))}
        if block["type"] == "thinking"
        else {"type": "redacted_thinking", "data": text_of(block.get("data"))}
        for block in objects_of(spoken.get("thinking_blocks"))
        if block.get("type") in ("thinking", "redacted_thinking")
    ]


def text_of(value: Any) -> str:
    """A text, whatever came in its place."""
    return value if isinstance(value, str) else ""


def object_of(value: Any) -> Mapping[str, Any]:
    """An object, whatever came in its place."""
    return value if isinstance(value, Mapping) else {}


def objects_of(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list, whatever came in its place."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []
