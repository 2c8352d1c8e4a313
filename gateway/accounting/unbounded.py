"""What a request holds whose cost nobody can know beforehand, so that no call with it is made under a hard limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.errors import InvalidField
from gateway.model import ModelRequest

_INLINE = "data:image/"
_TIERS = frozenset({"auto", "default", "standard_only"})
_PARTS = frozenset({"text", "refusal", "thinking", "redacted_thinking", "image_url"})
_OF_PART = frozenset({
    "type", "text", "refusal", "thinking", "signature", "data", "image_url", "cache_control", "citations",
})  # fmt: skip
# Fields of a message that are text of it or name something in it; what else there is may refer to more.
_OF_MESSAGE = frozenset({
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "prefix", "reasoning",
    "reasoning_content", "reasoning_details", "thinking_blocks", "annotations", "cache_control", "is_error",
})  # fmt: skip
_TOOLS = frozenset({"function", "custom"})
_OPEN_ENDED = (
    "web_search_options", "prediction", "audio", "previous_response_id", "conversation", "prompt", "container",
    "mcp_servers", "background",
)  # fmt: skip


def images(parts: Iterable[Mapping[str, Any]]) -> list[str]:
    """The images that a request itself holds in its parts."""
    return [url for part in parts if part.get("type") == "image_url" and (url := _address(part)).startswith(_INLINE)]


def parts_of(request: ModelRequest) -> list[Mapping[str, Any]]:
    if request.operation != "chat":
        return []
    contents = (message.get("content") for message in request.asked["messages"])
    return [part for content in contents if isinstance(content, list) for part in content]


def _address(part: Mapping[str, Any]) -> str:
    found = part.get("image_url")
    url = found.get("url") if isinstance(found, dict) else found
    return url if isinstance(url, str) else ""


def media(request: ModelRequest) -> tuple[list[str], InvalidField | None]:
    """The images that the request holds, and what of it costs that nobody can know beforehand."""
    parts, flaw = parts_of(request), None
    for part in parts:
        if part.get("type") == "image_url" and not _address(part).startswith(_INLINE):
            flaw = unbounded("messages", "an image by its address; send it as a data:image/… URL")
        elif part.get("type") not in _PARTS:
            flaw = unbounded("messages", f"a part of type {str(part.get('type'))[:64]!r}")
        elif name := _said_beside(part, _OF_PART):
            flaw = unbounded("messages", f"{name!r} of a part")
    return images(parts), _unbounded_field(request) or flaw


def _unbounded_field(request: ModelRequest) -> InvalidField | None:
    if request.unknown:
        unknown = request.unknown[0][:64]
        what = f"{unknown!r}, which this gateway does not know"
        return InvalidField(_SENTENCE.format(what), param=unknown, code="unknown_parameter")
    if request.operation != "chat":
        return None
    return _unbounded_option(request.asked) or _unbounded_message(request.asked["messages"])


def _unbounded_option(asked: Mapping[str, Any]) -> InvalidField | None:
    for name in _OPEN_ENDED:
        if asked.get(name) is not None:
            return unbounded(name, repr(name))
    if b"compact" in orjson.dumps(asked.get("context_management")):
        return unbounded("context_management", "a conversation that the provider shortens")
    if any(kind != "text" for kind in asked.get("modalities") or ()):
        return unbounded("modalities", "an answer that is not text")
    if (tier := asked.get("service_tier")) is not None and tier not in _TIERS:
        return unbounded("service_tier", f"the service tier {tier[:64]!r}")
    for tool in asked.get("tools") or ():
        if tool.get("type") not in _TOOLS:
            return unbounded("tools", f"the hosted tool {str(tool.get('type'))[:64]!r}")
    return None


def _unbounded_message(messages: Iterable[Mapping[str, Any]]) -> InvalidField | None:
    for message in messages:
        if not _OF_MESSAGE.issuperset(message) and (field := _said_beside(message, _OF_MESSAGE)):
            return unbounded("messages", f"{field!r} of a message")
    return None


def _said_beside(of: Mapping[str, Any], known: frozenset[str]) -> str | None:
    """A field beside the known ones that says something."""
    return next((name[:64] for name, value in of.items() if name not in known and value is not None), None)


def unbounded(param: str, what: str) -> InvalidField:
    return InvalidField(_SENTENCE.format(what), param=param)


_SENTENCE = (
    "A hard limit bears on this call, and nobody can say beforehand what this costs: {}. Leave it out, or have the "
    "operator make the limit firm or soft."
)
