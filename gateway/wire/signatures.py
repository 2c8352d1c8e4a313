"""Google's signatures of calls, without which Gemini takes no call back. A chat has a place for them
(https://ai.google.dev/gemini-api/docs/thought-signatures); clients of other dialects hand them back unread, behind a
word of ours, in a thought that stands before the call. What vendors write there is base64, which has no colon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_GOOGLE = "google:"


def sealed(call: Mapping[str, Any]) -> str | None:
    """What the thought before a chat's call holds; None where the call is not signed."""
    signature = ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")
    return _GOOGLE + signature if signature else None


def is_sealed(thought: str) -> bool:
    """Whether a thought's hidden content is a signature of the call that follows."""
    return thought.startswith(_GOOGLE)


def unsealed(thought: str | None) -> dict[str, Any]:
    """What a chat's call has of it; nothing where there is none."""
    return {"extra_content": {"google": {"thought_signature": thought.removeprefix(_GOOGLE)}}} if thought else {}
