"""Anthropic's messages and OpenAI's chat completions, each made of the other.

Shapes: https://platform.claude.com/docs/en/api/messages. Thoughts are `reasoning_content` of a chat's message, as
DeepSeek and vLLM have it, and, with the signatures without which Anthropic takes none of them back, `thinking_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import orjson

from gateway.model import Usage, new_id
from gateway.wire.chat_calls import Called
from gateway.wire.chat_pieces import objects_of, reasoning, said, text_of, thinking_blocks
from gateway.wire.openai import chat_usage

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
_DEEP = 200  # objects and arrays in each other, of which not many more can be written
_MOST_TOKENS = 1_000_000_000  # more in one call is not credible


def read_usage(reported: Any) -> Usage | None:
    """Make Anthropic's `usage` ours, or None where it is missing or not credible. Its `input_tokens` leave out what was
    read from the cache or written to it, and all of it what shortening the conversation took
    (https://platform.claude.com/docs/en/build-with-claude/compaction)."""
    if not isinstance(reported, Mapping):
        return None
    iterations = reported.get("iterations")
    beside = [one for one in iterations if _is_compaction(one)] if isinstance(iterations, list) else []
    parts = [_read(part) for part in (reported, *beside)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return Usage(
        prompt_tokens=sum(part.prompt_tokens for part in known),
        completion_tokens=sum(part.completion_tokens for part in known),
        cached_tokens=sum(part.cached_tokens for part in known),
        cache_write_tokens=sum(part.cache_write_tokens for part in known),
        reasoning_tokens=sum(part.reasoning_tokens for part in known),
        written_for_1h=sum(part.written_for_1h for part in known),
    )


def _is_compaction(iteration: Any) -> bool:
    return isinstance(iteration, Mapping) and iteration.get("type") == "compaction"


def _read(reported: Mapping[str, Any]) -> Usage | None:
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
        usage = read_usage(message.get("usage"))
        return {
            "id": message["id"],
            "object": "chat.completion",
            "created": created,
            "model": message["model"],
            "choices": [choice],
            **({"usage": chat_usage(usage)} if usage else {}),
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


def from_chat(answer: Mapping[str, Any], usage: Usage) -> dict[str, Any]:
    """The first choice of a chat completion as a message: as much of it as can be read, since it has been paid for.

    Args:
        answer: a chat completion in which `read_choices` has found a choice.
        usage: what it took.
    """
    choice = answer["choices"][0]
    message = choice["message"]
    content = list(_blocks(message))
    called = any(block["type"] == "tool_use" for block in content)
    return {
        **head(answer),
        "content": content,
        "stop_reason": stop_reason(choice.get("finish_reason"), bool(message.get("refusal")), called),
        "stop_sequence": None,
        "usage": message_usage(usage),
    }


def head(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a message begins with, of a chat completion or a chunk of one."""
    return {
        "id": str(answer.get("id") or "msg"),
        "type": "message",
        "role": "assistant",
        "model": str(answer.get("model") or ""),
    }


def _blocks(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    thoughts: list[dict[str, Any]] = [*thinking_blocks(message)]
    if not thoughts and (text := reasoning(message)):
        thoughts = [{"type": "thinking", "thinking": text, "signature": ""}]
    yield from thoughts
    for kind, pieces in groupby(told(message), lambda piece: piece[0]):
        text = "".join(piece for _, piece in pieces)
        yield {"type": kind, kind: text, **({"signature": ""} if kind == "thinking" else {})}
    for call in map(Called, objects_of(message.get("tool_calls"))):
        if call.seal:
            yield {"type": "redacted_thinking", "data": call.seal}
        its_id = call.id or f"call_{new_id()}"
        yield {"type": "tool_use", "id": its_id, "name": call.name, "input": _input(call.take())}


def told(spoken: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a chat's message or delta says, in pieces: each a `text`, as refusals are too, or a `thinking`."""
    for kind, text in said(spoken):
        yield ("text" if kind == "refusal" else kind), text
    if refusal := text_of(spoken.get("refusal")):
        yield "text", refusal


def _input(arguments: str) -> dict[str, Any]:
    """What a tool is called with. A call that was cut off, is no JSON object, or is nested deeper than can be written,
    is told as it came."""
    try:
        given = orjson.loads(arguments or "{}")
        if arguments.count("{") + arguments.count("[") > _DEEP:
            orjson.dumps([[[[given]]]])  # as deep as it will stand in a message
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        given = None
    return given if isinstance(given, dict) else {"arguments": arguments}


def stop_reason(reason: Any, refused: bool, called: bool) -> str:
    """OpenAI's `finish_reason` in Anthropic's word.

    Args:
        refused: there is a refusal, of which OpenAI has no reason of its own.
        called: there are calls, of which it has one only where the model was free to make them.
    """
    found = _REASONS.get(reason, "end_turn") if isinstance(reason, str) else "end_turn"
    if found != "end_turn":
        return found
    return "refusal" if refused else "tool_use" if called else found


def message_usage(usage: Usage) -> dict[str, Any]:
    """Our usage as Anthropic's."""
    read, written, for_1h = usage.cached_tokens, usage.cache_write_tokens, usage.written_for_1h
    told: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.completion_tokens,
    }
    if for_1h:
        told["cache_creation"] = {
            "ephemeral_5m_input_tokens": written - for_1h,
            "ephemeral_1h_input_tokens": for_1h,
        }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told
