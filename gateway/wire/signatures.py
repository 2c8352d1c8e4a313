"""What a vendor has sealed, in the hands of clients of another dialect, who give it back unread: behind words of ours,
so that none of it is taken for what their own vendor has sealed.

A chat has a place for Anthropic's thoughts (`thinking_blocks`), and for Google's signatures of calls, without which
Gemini takes no call back (https://ai.google.dev/gemini-api/docs/thought-signatures); where a dialect has none, these
stand in a thought before the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OURS = "gateway:"  # what each seal of the gateway begins with
_THOUGHT = f"{OURS}thought:"  # and its signature, if it has one
_REDACTED = f"{OURS}redacted:"
_GOOGLE = f"{OURS}google:"

UNSIGNED = _THOUGHT  # the seal of a thought without a signature


def is_ours(seal: Any) -> bool:
    """Whether the gateway has made a seal: a vendor does not know what it is."""
    return isinstance(seal, str) and seal.startswith(OURS)


def hidden(block: Mapping[str, Any]) -> str:
    """The seal of a block of thought."""
    if block["type"] == "redacted_thinking":
        return _REDACTED + str(block.get("data") or "")
    return _THOUGHT + str(block.get("signature") or "")


def shown(seal: str | None, text: str) -> dict[str, Any] | None:
    """The block of thought that has a seal; one of another vendor's is left out, as nobody else takes it.

    Args:
        seal: what `hidden` made, or a vendor's own; None where there is none.
        text: of the thought.

    Returns:
        None for a thought that says nothing.
    """
    told = seal or ""
    if told.startswith(_REDACTED):
        return {"type": "redacted_thinking", "data": told.removeprefix(_REDACTED)}
    signature = told.removeprefix(_THOUGHT) if told.startswith(_THOUGHT) else ""
    return {"type": "thinking", "thinking": text, "signature": signature} if text or signature else None


def sealed(call: Mapping[str, Any]) -> str | None:
    """What the thought before a chat's call holds; None where the call is not signed."""
    found: Any = call
    for name in ("extra_content", "google", "thought_signature"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return _GOOGLE + found if isinstance(found, str) and found else None


def is_sealed(thought: str) -> bool:
    """Whether a thought's hidden content is a signature of the call that follows."""
    return thought.startswith(_GOOGLE)


def unsealed(thought: str | None) -> dict[str, Any]:
    """What a chat's call has of it; nothing where there is none."""
    return {"extra_content": {"google": {"thought_signature": thought.removeprefix(_GOOGLE)}}} if thought else {}
