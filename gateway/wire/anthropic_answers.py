"""Anthropic's messages and OpenAI's chat completions, each made of the other.

Shapes: https://platform.claude.com/docs/en/api/messages. Thoughts are `reasoning_content` of a chat's message, as
DeepSeek and vLLM have it, and, with the signatures without which Anthropic takes none of them back, `thinking_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.model import Usage
from gateway.wire.signatures import sealed

STOPS = {  # Anthropic's reasons -> OpenAI's
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "stop",
    "refusal": "content_filter",
}
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use",
            "content_filter": "refusal"}  # fmt: skip
_MOST_TOKENS = 1_000_000_000  # more in one call is not credible


def read_usage(reported: Any) -> Usage | None:
    """Make Anthropic's `usage` ours, or None where it is missing or not credible. Its `input_tokens` leave out what was
    read from the cache or written to it."""
    if not isinstance(reported, Mapping):
        return None
    fresh, output = _count(reported, "input_tokens"), _count(reported, "output_tokens")
    read = _count(reported, "cache_read_input_tokens", 0)
    written = _count(reported, "cache_creation_input_tokens", 0)
    if fresh is None or output is None or read is None or written is None:
        return None
    apart, spent = reported.get("cache_creation"), reported.get("output_tokens_details")
    return Usage(
        fresh + read + written,
        output,
        cached_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=min(_of(spent, "thinking_tokens"), output),
        written_for_1h=min(_of(apart, "ephemeral_1h_input_tokens"), written),
    )


def _of(details: Any, name: str) -> int:
    return (_count(details, name, 0) or 0) if isinstance(details, Mapping) else 0


def _count(where: Mapping[str, Any], name: str, missing: int | None = None) -> int | None:
    value = where.get(name)
    if value is None:
        return missing
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def to_chat(message: Mapping[str, Any], created: int) -> dict[str, Any]:
    """A message as a chat completion.

    Args:
        message: Anthropic's.
        created: seconds since 1970; it has none of its own.

    Raises:
        ValueError: it is no message that can be read.
    """
    try:
        choice = {"index": 0, "message": _spoken(message["content"]), "logprobs": None}
        choice["finish_reason"] = STOPS.get(message["stop_reason"], "stop")
        return {
            "id": message["id"],
            "object": "chat.completion",
            "created": created,
            "model": message["model"],
            "choices": [choice],
            "usage": chat_usage(message["usage"]),
        }
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError("a message that cannot be read") from error


def _spoken(blocks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    texts, thoughts, calls = [], [], []
    for block in blocks:
        if block["type"] == "text":
            texts.append(block["text"])
        elif block["type"] in ("thinking", "redacted_thinking"):
            thoughts.append(dict(block))
        elif block["type"] == "tool_use":
            function = {"name": block["name"], "arguments": orjson.dumps(block["input"]).decode()}
            calls.append({"id": block["id"], "type": "function", "function": function})
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if thoughts:
        message["reasoning_content"] = "".join(block.get("thinking", "") for block in thoughts)
        message["thinking_blocks"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return message


def chat_usage(reported: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic's `usage` as OpenAI's."""
    usage = read_usage(reported) or Usage(0, 0)
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def from_chat(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The first choice of a chat completion as a message. Raises ValueError where it cannot be read."""
    try:
        choice = answer["choices"][0]
        return {
            "id": answer.get("id") or "msg",
            "type": "message",
            "role": "assistant",
            "model": answer.get("model") or "",
            "content": list(_blocks(choice["message"])),
            "stop_reason": stop_reason(choice.get("finish_reason"), bool(choice["message"].get("refusal"))),
            "stop_sequence": None,
            "usage": message_usage(answer.get("usage")),
        }
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError("a choice that cannot be read") from error


def _blocks(message: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    thoughts = message.get("thinking_blocks")
    if thoughts is None and (text := message.get("reasoning_content") or message.get("reasoning")):
        thoughts = [{"type": "thinking", "thinking": text, "signature": ""}]
    yield from thoughts or ()
    for name in ("content", "refusal"):
        if text := message.get(name):
            yield {"type": "text", "text": text if isinstance(text, str) else "".join(part["text"] for part in text)}
    for call in message.get("tool_calls") or ():
        function = call["function"]
        if thought := sealed(call):
            yield {"type": "redacted_thinking", "data": thought}
        given = _input(function.get("arguments") or "{}")
        yield {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given}


def _input(arguments: str) -> dict[str, Any]:
    """What a tool is called with. A call that was cut off, or is no JSON object, is told as it came."""
    try:
        given = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        given = None
    return given if isinstance(given, dict) else {"arguments": arguments}


def stop_reason(reason: str | None, refused: bool) -> str | None:
    """OpenAI's `finish_reason`, and whether there is a refusal, in Anthropic's word."""
    if refused and reason == "stop":
        return "refusal"
    return _REASONS.get(reason, "end_turn") if reason else None


def message_usage(reported: Any) -> dict[str, Any]:
    """OpenAI's `usage` as Anthropic's."""
    told = reported if isinstance(reported, Mapping) else {}
    details = told.get("prompt_tokens_details") or {}
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    reasoning = (told.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return {
        "input_tokens": max(0, (told.get("prompt_tokens") or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": told.get("completion_tokens") or 0,
        **({"output_tokens_details": {"thinking_tokens": reasoning}} if reasoning else {}),
    }
