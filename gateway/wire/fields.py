"""What becomes of each field of a request on its way to a vendor of another dialect: the table of docs/translation.md.

Fields have the names of OpenAI's chat, in which every request stands once it has been understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Literal

from gateway.model import Dialect

ApiName = Literal["openai", "anthropic", "gemini"]
APIS: tuple[ApiName, ...] = ("openai", "anthropic", "gemini")


# Without these it would be another question, also where another provider stands in.
INDISPENSABLE = frozenset({"background", "conversation", "previous_response_id", "prompt"})


class Fate(Enum):
    """What becomes of a field."""

    TRANSLATED = 1
    DROPPED = 2  # a hint: the answer is as good without it; the client is told
    REFUSED = 3


class Untranslatable(ValueError):
    """Part of a request that a vendor's API has nothing like.

    Args:
        field: of the request.
        what: the part of it, for people.
    """

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field
        self.what = what


_T, _D, _R = Fate.TRANSLATED, Fate.DROPPED, Fate.REFUSED
_OTHERS = _D, _D, _D  # of a name that no dialect documents: only a vendor of the client's own knows what it may be

# Of APIS, in this order.
FIELDS: Mapping[str, tuple[Fate, Fate, Fate]] = {
    "messages": (_T, _T, _T),
    "max_tokens": (_T, _T, _T),
    "max_completion_tokens": (_T, _T, _T),
    "temperature": (_T, _T, _T),
    "top_p": (_T, _T, _T),
    "top_k": (_R, _T, _T),
    "stop": (_T, _T, _T),
    "n": (_T, _R, _T),
    "seed": (_T, _D, _T),
    "frequency_penalty": (_T, _R, _T),
    "presence_penalty": (_T, _R, _T),
    "logit_bias": (_T, _R, _R),
    "logprobs": (_T, _R, _R),
    "top_logprobs": (_T, _R, _R),
    "tools": (_T, _T, _T),
    "tool_choice": (_T, _T, _T),
    "parallel_tool_calls": (_T, _T, _D),
    "functions": (_T, _R, _R),
    "function_call": (_T, _R, _R),
    "response_format": (_T, _T, _T),
    "reasoning_effort": (_T, _T, _T),
    "thinking": (_D, _T, _T),
    "verbosity": (_T, _D, _D),
    "metadata": (_D, _D, _D),
    "prediction": (_T, _D, _D),
    "service_tier": (_D, _D, _D),
    "modalities": (_T, _R, _R),
    "audio": (_T, _R, _R),
    "web_search_options": (_T, _R, _R),
    "moderation": (_D, _D, _D),
    "prompt_cache_key": (_D, _D, _D),
    "prompt_cache_options": (_D, _D, _D),
    "prompt_cache_retention": (_D, _D, _D),
    "safety_identifier": (_D, _D, _D),
    "store": (_R, _R, _R),
    # OpenAI's responses
    "background": (_R, _R, _R),
    "context_management": (_D, _D, _D),  # Anthropic's messages have it too
    "conversation": (_R, _R, _R),
    "include": (_D, _D, _D),
    "max_tool_calls": (_R, _R, _R),
    "previous_response_id": (_R, _R, _R),
    "prompt": (_R, _R, _R),
    "reasoning": (_D, _D, _D),
    "truncation": (_D, _D, _D),
    # Anthropic's messages
    "container": (_R, _R, _R),
    "mcp_servers": (_R, _R, _R),
    "output_config": (_D, _D, _D),
}

# What asks for nothing, beside null.
_IDLE: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "parallel_tool_calls": (True,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "metadata": ({},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "background": (False,),
    "truncation": ("disabled",),
    "thinking": ({"type": "disabled"},),
    "include": ([], ["reasoning.encrypted_content"]),  # given in any case
    "reasoning": ({"summary": "auto"},),
    "mcp_servers": ([],),
}

# A client's own words for fields of OpenAI's chat.
NAMES: Mapping[Dialect, Mapping[str, str]] = {
    "openai": {},
    "responses": {
        "messages": "input",
        "max_completion_tokens": "max_output_tokens",
        "logprobs": "include",
        "response_format": "text.format",
        "reasoning_effort": "reasoning.effort",
        "verbosity": "text.verbosity",
    },
    "anthropic": {"stop": "stop_sequences", "response_format": "output_config.format"},
}

# What of a chat's messages, parts, calls and tools the APIs have a place for: all of them, and beside it each.
_OF_MESSAGE = frozenset({"role", "content", "tool_calls", "tool_call_id", "refusal"})
_OF_PART = frozenset({"type", "text", "image_url", "input_audio", "file", "refusal"})
_OF_CALL = frozenset({"id", "type", "function", "custom", "index"})
_OF_TOOL = frozenset({"type", "function", "custom"})
_BESIDE: Mapping[ApiName, frozenset[str]] = {
    "openai": frozenset({"name", "audio", "function_call"}),
    "anthropic": frozenset({
        "cache_control", "citations", "context", "is_error", "thinking", "signature", "data", "thinking_blocks",
    }),
    "gemini": frozenset({"is_error", "extra_content"}),
}  # fmt: skip
_TOOLS: Mapping[ApiName, frozenset[str]] = {
    "openai": frozenset({"function", "custom"}),
    "anthropic": frozenset({"function"}),
    "gemini": frozenset({"function"}),
}
_TYPES = _OF_PART - {"type"}  # of parts, each of which holds what it says under its own name
_SAID_TWICE = frozenset({"reasoning_content", "reasoning", "annotations"})  # of an answer that is sent back
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
THOUGHTS = "thoughts"  # of another vendor's model, which nobody else can read; no hint of the client's
_OF_THOUGHTS = frozenset({"thinking_blocks", "extra_content", "reasoning_id"})
_OF_CHATS = frozenset({*_OF_MESSAGE, *_OF_PART, *_OF_CALL, *_SAID_TWICE, *_OF_THOUGHTS}).union(*_BESIDE.values()) - {
    "cache_control", "citations", "context",
}  # fmt: skip
_OF_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})  # which vendors refuse where there are none


def apart(dialect: Dialect, name: str) -> str:
    """A field that its dialect does not document, as it stands in a request: one that OpenAI's chat has too is not to
    be taken for that."""
    return f"{dialect}:{name}" if name in FIELDS else name


def beside(dialect: Dialect, of: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """What an object of a request has beside the names that its dialect documents: under a name that no chat has."""
    return {
        f"{dialect}:{name}" if name in _OF_CHATS else name: value for name, value in of.items() if name not in known
    }


def in_words_of(dialect: Dialect, name: str) -> str:
    """A field as the client calls it."""
    return NAMES[dialect].get(name, name.removeprefix(f"{dialect}:"))[:64]


def fate(name: str, api: ApiName) -> Fate:
    """What becomes of a field on its way to `api`."""
    return FIELDS.get(name, _OTHERS)[APIS.index(api)]


def is_idle(name: str, value: Any) -> bool:
    """Whether a field asks for nothing."""
    return value is None or value in _IDLE.get(name, ())


def only_known(asked: Mapping[str, Any], api: ApiName, lenient: bool) -> tuple[dict[str, Any], set[str]]:
    """A request without what `api` has no place for within its messages and tools.

    Args:
        asked: the request.
        api: the vendor's.
        lenient: leave out tools too that the vendor does not know.

    Returns:
        It, in copies where something was left out, and the names of what was.

    Raises:
        Untranslatable: it holds a part or a tool that cannot be left out.
        KeyError, TypeError, AttributeError: it is malformed.
    """
    left_out: set[str] = set()
    found = dict(asked)
    found["messages"] = [_message(message, api, left_out) for message in asked["messages"]]
    if asked.get("tools"):
        found["tools"] = list(_tools(asked["tools"], api, lenient, left_out))
    if not found.get("tools"):
        found = {name: value for name, value in found.items() if name not in _OF_TOOLS}
    return found, left_out


def _tools(
    tools: Iterable[Mapping[str, Any]], api: ApiName, lenient: bool, left_out: set[str]
) -> Iterator[Mapping[str, Any]]:
    for tool in tools:
        kind = str(tool["type"])
        if kind in _TOOLS[api]:
            yield _kept(tool, _OF_TOOL | _BESIDE[api], left_out)
        elif lenient:
            left_out.add("tools")
        else:
            raise Untranslatable("tools", f"a tool of type {_shown(kind)}")


def _message(message: Mapping[str, Any], api: ApiName, left_out: set[str]) -> Mapping[str, Any]:
    if message.get("function_call") and api != "openai":
        raise Untranslatable("messages", "a 'function_call'; send 'tool_calls'")
    kept = _kept(message, _OF_MESSAGE | _BESIDE[api], left_out)
    content, calls = kept.get("content"), kept.get("tool_calls")
    if isinstance(content, list):
        kept = {**kept, "content": list(_parts(content, api, left_out)) or None}
    if calls:
        kept = {**kept, "tool_calls": [_kept(call, _OF_CALL | _BESIDE[api], left_out) for call in calls]}
    return kept


def _parts(parts: Iterable[Mapping[str, Any]], api: ApiName, left_out: set[str]) -> Iterator[Mapping[str, Any]]:
    for part in parts:
        kind = str(part["type"])
        if kind in _THOUGHTS and api != "anthropic":
            left_out.add(THOUGHTS)
        elif kind in _TYPES or kind in _THOUGHTS:
            image = part.get("image_url")
            if api != "openai" and isinstance(image, Mapping) and image.get("detail"):
                left_out.add("detail")
            yield _kept(part, _OF_PART | _BESIDE[api], left_out)
        else:
            raise Untranslatable("messages", f"a part of type {_shown(kind)}")


def _shown(kind: str) -> str:
    """A type as the client calls it, which need not be that of a chat."""
    return repr(kind.rpartition(":")[2][:64])


def _kept(of: Mapping[str, Any], known: frozenset[str], left_out: set[str]) -> Mapping[str, Any]:
    """An object without the names that are not known; the same one where all are."""
    if known.issuperset(of):
        return of
    others = {name for name in of.keys() - known if of[name] not in (None, [], {})}
    left_out |= {THOUGHTS if name in _OF_THOUGHTS else name for name in others - _SAID_TWICE}
    return {name: value for name, value in of.items() if name in known}
