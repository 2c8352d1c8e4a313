"""OpenAI's answers: what they say and cost, and how a whole one becomes a stream's chunks and back.

Shapes: https://platform.openai.com/docs/api-reference, with what compatible vendors add to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.model import Completion, ModelRequest, Operation, Usage
from gateway.wire import sse

# Of an answer, each 60 to 200 bytes of memory; counted in its text, strings included. 16,000 tokens with 20 logprobs
# each have 700,000.
MOST_CONTAINERS = 1_000_000
MOST_VALUES = 4_000_000
_MOST_TOKENS = 1_000_000_000  # more in one call is not credible

_CHUNK = ".chunk"  # what a chat completion's `object` ends in while it is streamed
_DEFINITIONS = ("tools", "functions", "response_format")
_SPOKEN = ("content", "reasoning_content", "reasoning", "refusal")  # fields of a message that are text of the model


class TooManyParts(ValueError):
    """An answer that would take too much memory to look into."""


def prompt(request: ModelRequest) -> tuple[list[str], int, int]:
    """What a model is given to read.

    Returns:
        Its texts, tool definitions and answer schemas among them; how many tokens came as numbers; how many messages.
    """
    asked = request.asked
    if request.operation == "chat":
        messages: list[Any] = asked["messages"]
        definitions = [orjson.dumps(asked[name]).decode() for name in _DEFINITIONS if asked.get(name)]
        return [*definitions, *(text for message in messages for text in _prompted(message))], 0, len(messages)
    given = asked.get("prompt" if request.operation == "completions" else "input") or []
    if isinstance(given, str):
        return [given], 0, 0
    numbers = sum(len(entry) if isinstance(entry, list) else isinstance(entry, int) for entry in given)
    return [entry for entry in given if isinstance(entry, str)], numbers, 0


def _prompted(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    calls = [call.get("function") for call in message.get("tool_calls") or () if isinstance(call, dict)]
    found = [part.get(name) for part in parts if isinstance(part, dict) for name in ("text", "refusal")]
    found += [call.get(name) for call in calls if isinstance(call, dict) for name in ("name", "arguments")]
    yield from (text for text in found if isinstance(text, str))


def read_whole(
    operation: Operation, body: bytes, reasoning_beside: bool = False, upstream_request_id: str | None = None
) -> Completion:
    """What a vendor's whole answer says.

    Args:
        operation: what was asked for.
        body: the answer.
        reasoning_beside: see `read_usage`.
        upstream_request_id: the vendor's own id of the call.

    Raises:
        TooManyParts: it has more than MOST_CONTAINERS or MOST_VALUES.
        ValueError: it is no answer to such a request.
    """
    check_parts(body)
    answer = orjson.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("not an object")
    usage = read_usage(answer.get("usage"), reasoning_beside)
    if operation != "embeddings":
        found = read_choices(answer, body, usage, upstream_request_id)
    elif isinstance(answer.get("data"), list):
        found = Completion(body, usage=usage, upstream_request_id=upstream_request_id)
    else:
        raise ValueError("no embeddings")
    return replace(found, misreported=True) if usage is None and misreports(answer.get("usage")) else found


def check_parts(body: bytes) -> None:
    """Raise TooManyParts for an answer that has more than MOST_CONTAINERS or MOST_VALUES."""
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS or body.count(b",") > MOST_VALUES:
        raise TooManyParts("more parts than are looked into")


def read_choices(
    answer: Mapping[str, Any], body: bytes, usage: Usage | None, upstream_request_id: str | None = None
) -> Completion:
    """What the choices of a whole answer say. Raises ValueError where there are none, or none that can be read."""
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("no choices")
    try:
        spoken = [_spoken(choice) for choice in choices]
        reasons = [choice.get("finish_reason") for choice in choices]
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError("a choice that cannot be read") from error
    return Completion(
        body=body,
        text=spoken[0][0],
        generated="".join(text + rest for text, rest in spoken),
        finish_reasons=tuple(reason if isinstance(reason, str) and len(reason) <= 64 else None for reason in reasons),
        usage=usage,
        upstream_request_id=upstream_request_id,
    )


def _spoken(choice: Mapping[str, Any]) -> tuple[str, str]:
    """A choice's text, and whatever else of it the model generated."""
    if "message" not in choice:
        return _text(choice["text"]), ""
    message = choice["message"]
    calls = [call.get("function") or call.get("custom") or {} for call in message.get("tool_calls") or ()]
    calls.append(message.get("function_call") or {})
    others = [message.get(name) for name in _SPOKEN[1:]]
    others += [call.get(name) for call in calls for name in ("name", "arguments", "input")]
    others.append((message.get("audio") or {}).get("transcript"))
    return _text(message.get("content")), "".join(other for other in others if isinstance(other, str))


def _text(content: Any) -> str:
    """An answer's text; some vendors send it in parts. A refusal or a tool call has none."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    if content is not None and not isinstance(content, str):
        raise TypeError("content is neither text nor parts")
    return content or ""


def read_usage(reported: Any, reasoning_beside: bool = False) -> Usage | None:
    """Make a vendor's `usage` object ours, or None where it is missing or not credible.

    Args:
        reported: the object as it came: OpenAI's shape, DeepSeek's `prompt_cache_hit_tokens`, Together's
            `cached_tokens` beside it. Embeddings have no `completion_tokens`.
        reasoning_beside: `completion_tokens` leave out reasoning; `total_tokens` has it.
    """
    if not isinstance(reported, dict):
        return None
    prompt = _count(reported, "prompt_tokens")
    completion = _count(reported, "completion_tokens") if reported.get("completion_tokens") is not None else 0
    if prompt is None or completion is None:
        return None
    inputs, outputs = reported.get("prompt_tokens_details"), reported.get("completion_tokens_details")
    cached = _count(inputs, "cached_tokens")
    if cached is None:
        cached = _count(reported, "prompt_cache_hit_tokens") or _count(reported, "cached_tokens") or 0
    written = _count(inputs, "cache_write_tokens") or 0
    reasoning = _count(outputs, "reasoning_tokens") or _count(reported, "reasoning_tokens") or 0
    if reasoning_beside:
        unreported = max(0, (_count(reported, "total_tokens") or 0) - prompt - completion)
        completion, reasoning = completion + unreported, max(reasoning, unreported)
    cached = min(cached, prompt)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=min(written, prompt - cached),  # OpenRouter reports some tokens as both read and written
        reasoning_tokens=min(reasoning, completion),
    )


def chat_usage(usage: Usage) -> dict[str, Any]:
    """Our usage as OpenAI's `usage` of a chat."""
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


def misreports(reported: Any) -> bool:
    """Whether a `usage` object, of which `read_usage` makes nothing, says something all the same."""
    return isinstance(reported, dict) and reported.get("prompt_tokens") is not None


def _count(where: Any, name: str) -> int | None:
    value = where.get(name) if isinstance(where, dict) else None
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def chunks(
    answer: Mapping[str, Any], cut: Callable[[str], Iterable[str]] = lambda text: [text]
) -> Iterator[dict[str, Any]]:
    """A whole answer as the chunks of a stream, the usage in a last one of its own.

    Args:
        answer: a chat completion or a completion.
        cut: into which pieces a text comes.
    """
    chat = "message" in answer["choices"][0]
    head = {name: value for name, value in answer.items() if name not in ("choices", "usage")}
    if chat:
        head["object"] = str(head.get("object", "chat.completion")) + _CHUNK

    def chunk(choice: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        rest = {name: value for name, value in choice.items() if name not in ("message", "text", "logprobs")}
        return {**head, "choices": [{**rest, "logprobs": None, "finish_reason": None, **changes}]}

    for choice in answer["choices"]:
        name = "delta" if chat else "text"
        pieces: Iterable[Any] = _deltas(choice["message"], cut) if chat else list(cut(choice["text"])) or [""]
        for number, piece in enumerate(pieces):
            yield chunk(choice, **{name: piece, "logprobs": choice.get("logprobs") if number == 0 else None})
        yield chunk(choice, **{name: {} if chat else "", "finish_reason": choice.get("finish_reason")})
    if answer.get("usage"):
        yield {**head, "choices": [], "usage": answer["usage"]}


def _deltas(message: Mapping[str, Any], cut: Callable[[str], Iterable[str]]) -> Iterator[dict[str, Any]]:
    first = {name: value for name, value in message.items() if name not in ("content", "tool_calls")}
    content = message.get("content")
    texts = list(cut(content)) if isinstance(content, str) else []
    yield {**first, "content": texts[0] if texts else content}
    for text in texts[1:]:
        yield {"content": text}
    for index, call in enumerate(message.get("tool_calls") or ()):
        yield {"tool_calls": [{"index": index, **call}]}


def without_usage(block: bytes) -> bytes:
    """A block of events as a client gets it who did not ask for the usage."""
    block = block.replace(b',"usage":null', b"").replace(b', "usage": null', b"")
    kept, done = [], 0
    while (at := block.find(b'"usage"', done)) >= 0:
        before, end = block.rfind(b"\n\n", done, at), block.find(b"\n\n", at)
        start = before + 2 if before >= 0 else done
        kept += [block[done:start], _event_without_usage(block[start:end])]
        done = end + 2
    return b"".join([*kept, block[done:]]) if kept else block


def _event_without_usage(event: bytes) -> bytes:
    try:
        chunk = orjson.loads(next(iter(sse.payloads(event)), b""))
        reported = chunk.pop("usage")
        return b"" if reported and chunk.get("choices") == [] else sse.event(orjson.dumps(chunk))
    except (ValueError, AttributeError, LookupError, TypeError):
        return event + b"\n\n"  # nothing that we know; a text may well speak of "usage"
