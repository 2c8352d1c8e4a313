"""Gemini's answers as OpenAI's chat completions.

Shapes: https://ai.google.dev/api/generate-content#generatecontentresponse. The signature of a call, without which newer
models do not take it back, stands where Google's own compatible API has it: `extra_content.google.thought_signature`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from gateway.model import Usage, new_id
from gateway.wire.openai import chat_usage

BLOCKED = "SAFETY"  # what a prompt that is blocked would have ended in, had there been an answer
# Gemini's reasons -> OpenAI's. All others say that the model failed, as in writing a call that cannot be read: no
# filter held anything back, no cap was reached, so what there is of the answer has ended by itself.
_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        (
            *("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"),
            *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "ESCALATION", "PUP_LIMITED_DISABLED"),
        ),
        "content_filter",
    ),
}
_MOST_TOKENS = 1_000_000_000  # more in one call is not credible


def to_chat(answer: Mapping[str, Any], created: int, model: str) -> dict[str, Any]:
    """An answer as a chat completion.

    Args:
        answer: Gemini's.
        created: seconds since 1970; it has none of its own.
        model: that was asked, where the answer does not say.

    Raises:
        ValueError: it is no answer that can be read.
    """
    try:
        choices = [_choice(candidate) for candidate in answer.get("candidates") or ()]
        if not choices:
            message = {"role": "assistant", "content": None, "refusal": blocked(answer)}
            choices = [_numbered(0, message, BLOCKED)]
        usage = read_usage(answer.get("usageMetadata"))
        return {
            "id": answer.get("responseId") or f"chatcmpl-{new_id()}",
            "object": "chat.completion",
            "created": created,
            "model": answer.get("modelVersion") or model,
            "choices": choices,
            **({"usage": chat_usage(usage)} if usage else {}),
        }
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError("an answer that cannot be read") from error


def blocked(answer: Mapping[str, Any]) -> str:
    """What a client is told of a prompt that Gemini does not answer. Raises LookupError where it says no reason."""
    return f"Gemini did not answer: it blocked the prompt ({str(answer['promptFeedback']['blockReason'])[:64]})."


def finish_reason(reason: Any, called: bool) -> str:
    """Gemini's `finishReason` in OpenAI's word.

    Args:
        called: there are calls in the answer, of which Gemini has no reason of its own.
    """
    found = _REASONS.get(str(reason), "stop")
    return "tool_calls" if called and found == "stop" else found


def parts(candidate: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """What a candidate says; one without content was held back, or only thought."""
    return (candidate.get("content") or {}).get("parts") or ()


def said(part: Mapping[str, Any]) -> tuple[str, Any]:
    """A part of an answer as a field of a chat's message: its name, and a text or a tool call.

    A part of another kind, such as an image, says an empty text: a chat has no place for it.
    """
    if "functionCall" in part:
        return "tool_calls", _call(part)
    text = part.get("text", "")
    if not isinstance(text, str):
        raise TypeError("text that is none")
    return "reasoning_content" if part.get("thought") else "content", text


def _choice(candidate: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, value in map(said, parts(candidate)):
        if value:
            found.setdefault(name, []).append(value)
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    message |= {name: values if name == "tool_calls" else "".join(values) for name, values in found.items()}
    return _numbered(candidate.get("index", 0), message, candidate.get("finishReason"))


def _numbered(index: int, message: Mapping[str, Any], reason: Any) -> dict[str, Any]:
    finish = finish_reason(reason, "tool_calls" in message)
    return {"index": index, "message": message, "logprobs": None, "finish_reason": finish}


def _call(part: Mapping[str, Any]) -> dict[str, Any]:
    """Older models give their calls no ids."""
    own = part["functionCall"]
    function = {"name": own["name"], "arguments": orjson.dumps(own.get("args") or {}).decode()}
    call = {"id": own.get("id") or f"call_{new_id()}", "type": "function", "function": function}
    if signature := part.get("thoughtSignature"):
        call["extra_content"] = {"google": {"thought_signature": signature}}
    return call


def read_usage(reported: Any) -> Usage | None:
    """Make Gemini's `usageMetadata` ours, or None where it is missing or not credible. Its `promptTokenCount` has what
    was cached, but not what tools brought; its `candidatesTokenCount` leaves out thoughts. Counts of 0 are not sent."""
    if not isinstance(reported, Mapping) or "promptTokenCount" not in reported:
        return None
    names = ("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
             "cachedContentTokenCount")  # fmt: skip
    counts = [reported.get(name) or 0 for name in names]
    if not all(type(count) is int and 0 <= count <= _MOST_TOKENS for count in counts):
        return None
    prompt, brought, spoken, thought, cached = counts
    return Usage(prompt + brought, spoken + thought, cached_tokens=min(cached, prompt), reasoning_tokens=thought)
