"""OpenAI's responses and its chat completions, each made of the other.

Shapes: https://platform.openai.com/docs/api-reference/responses/object. Thoughts are `thinking_blocks` of a chat's
message, and their text its `reasoning_content`; see `gateway.wire.responses_requests`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.model import Usage
from gateway.wire import openai
from gateway.wire.responses_events import FromChat
from gateway.wire.responses_requests import call_of, thought_of

_UNFINISHED = ("in_progress", "queued")  # what a background response is at first
_PLACES = ("start_index", "end_index", "index")  # in the text
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}  # why it is incomplete


def read_usage(reported: Any) -> Usage | None:
    """Make a response's `usage` ours, or None where it is missing or not credible. Its `input_tokens` include the
    cached ones."""
    if not isinstance(reported, Mapping):
        return None
    return openai.read_usage({
        "prompt_tokens": reported.get("input_tokens"),
        "completion_tokens": reported.get("output_tokens"),
        "prompt_tokens_details": reported.get("input_tokens_details"),
        "completion_tokens_details": reported.get("output_tokens_details"),
    })  # fmt: skip


def to_chat(response: Mapping[str, Any], created: int) -> dict[str, Any]:
    """A response as a chat completion.

    Args:
        response: OpenAI's.
        created: seconds since 1970, where it does not say.

    Raises:
        ValueError: it is no response that can be read, or one that failed.
    """
    try:
        if response.get("error") or response["status"] in ("failed", "cancelled"):
            raise ValueError("a response that failed")
        choice = {"index": 0, "message": _message(response["output"]), "logprobs": None}
        choice["finish_reason"] = finish_reason(response)
        usage = read_usage(response.get("usage"))
        return {
            "id": response["id"],
            "object": "chat.completion",
            "created": int(response.get("created_at") or created),
            "model": response["model"],
            "choices": [choice],
            "usage": openai.chat_usage(usage) if usage else None,
        }
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError("a response that cannot be read") from error


def finish_reason(response: Mapping[str, Any]) -> str | None:
    """Why a response ended, in a chat's word; None where it has not. Raises what `to_chat` looks for."""
    if response["status"] in _UNFINISHED:
        return None
    if response["status"] == "incomplete":
        return _REASONS.get((response.get("incomplete_details") or {}).get("reason") or "", "length")
    calls = any(item["type"] in ("function_call", "custom_tool_call") for item in response["output"])
    return "tool_calls" if calls else "stop"


def _message(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    said: dict[str, list[str]] = {"text": [], "refusal": []}
    thoughts, calls, annotations, signature = [], [], [], None
    for item in items:
        if item["type"] == "reasoning":
            block, signature = thought_of(item)
            thoughts += [block] if block else []
        elif item["type"] in ("function_call", "custom_tool_call"):
            calls.append(call_of(item, signature))
            signature = None
        elif item["type"] == "message":
            for part in item["content"]:
                before = sum(map(len, said["text"]))
                annotations += [_annotation(told, before) for told in part.get("annotations") or ()]
                said["refusal" if part["type"] == "refusal" else "text"].append(part.get("text") or part.get("refusal"))
    content, refusal = ("".join(texts) if texts else None for texts in said.values())
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
    if thoughts:
        message["reasoning_content"] = "".join(block.get("thinking", "") for block in thoughts)
        message["thinking_blocks"] = thoughts
    beside = {"annotations": annotations, "tool_calls": calls}
    return message | {name: found for name, found in beside.items() if found}


def _annotation(told: Mapping[str, Any], before: int) -> dict[str, Any]:
    """An annotation as a chat has it, which counts places in its text from the beginning of that.

    Args:
        before: characters of the text that stand before the part that it is of.
    """
    says = {name: value + before if name in _PLACES else value for name, value in told.items() if name != "type"}
    return {"type": told["type"], told["type"]: says}


def from_chat(answer: Mapping[str, Any], document: Mapping[str, Any], usage: Usage) -> dict[str, Any]:
    """The first choice of a chat completion as a response: the one that its stream would have ended with.

    Args:
        answer: the chat completion.
        document: the request for a response, as it came: a response repeats much of it.
        usage: what it took.

    Raises:
        ValueError: it cannot be read.
    """
    made = FromChat(document)
    try:
        for chunk in openai.chunks(answer):
            for _ in made.events(chunk):
                pass
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError("a choice that cannot be read") from error
    *_, last = made.end(usage)
    response: dict[str, Any] = last["response"]
    return response
