"""How vendors answer in each dialect: with a text, or with a call of one of the tools that they were offered.

The events are those of the vendors' own references: https://platform.openai.com/docs/api-reference/chat-streaming,
https://platform.openai.com/docs/api-reference/responses-streaming, https://docs.claude.com/en/api/messages-streaming.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from gateway.model import Usage

Fields = dict[str, Any]
Event = tuple[str, Fields]

_PIECE = 5  # characters of an event


@dataclass(frozen=True, slots=True)
class Step:
    """What a model says next: a text, or with a tool's name a call of it with `said` as its arguments; where the tool
    is `custom`, these are free text instead of JSON."""

    said: str
    tool: str = ""
    custom: bool = False


def _pieces(text: str) -> Iterator[str]:
    return (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))


def _event(name: str, data: Fields) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def messages(asked: Fields, step: Step, usage: Usage) -> list[bytes]:
    """Anthropic's answer, of which the model's thoughts are part if they were asked for; one piece if it is whole."""
    content: list[Fields] = [{"type": "text", "text": step.said}]
    if step.tool:
        content = [{"type": "tool_use", "id": _id("toolu_"), "name": step.tool, "input": json.loads(step.said)}]
    if asked.get("thinking", {"type": "disabled"})["type"] != "disabled":
        content.insert(
            0, {"type": "thinking", "thinking": "The file will tell.", "signature": secrets.token_urlsafe(60)}
        )
    counted = {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.written_for_1h,
            "ephemeral_1h_input_tokens": usage.written_for_1h,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "standard",
    }
    end = {"stop_reason": "tool_use" if step.tool else "end_turn", "stop_sequence": None}
    message = {"id": _id("msg_"), "type": "message", "role": "assistant", "model": asked["model"]}
    if not asked.get("stream"):
        return [json.dumps({**message, "content": content, **end, "usage": counted}).encode()]
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    first = {**counted, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": 0}}
    events = [_event("message_start", {"message": {**begun, "usage": first}})]
    for index, block in enumerate(content):
        empty, deltas = _block(block)
        events.append(_event("content_block_start", {"index": index, "content_block": empty}))
        events += [_event("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        events.append(_event("content_block_stop", {"index": index}))
    events.insert(2, _event("ping", {}))
    last = {"delta": end, "usage": {name: counted[name] for name in ("output_tokens", "output_tokens_details")}}
    return [*events, _event("message_delta", last), _event("message_stop", {})]


def _block(block: Fields) -> tuple[Fields, list[Fields]]:
    """A block as it begins, and what is added to it."""
    if block["type"] == "tool_use":
        texts = ["", *_pieces(json.dumps(block["input"]))]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text} for text in texts]
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in _pieces(block["text"])]
    thoughts: list[Fields] = [{"type": "thinking_delta", "thinking": text} for text in _pieces(block["thinking"])]
    signed = {"type": "signature_delta", "signature": block["signature"]}
    return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]


def chat(asked: Fields, step: Step, usage: Usage) -> list[bytes]:
    """OpenAI's chat completion; one piece if it is whole."""
    call = {"id": _id("call_"), "type": "function", "function": {"name": step.tool, "arguments": step.said}}
    finish = "tool_calls" if step.tool else "stop"
    common = {"id": _id("chatcmpl-"), "created": 1764547200, "model": asked["model"], "service_tier": "default"}
    counted = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {**_read_and_written(usage), "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }
    if not asked.get("stream"):
        said = {"content": None, "tool_calls": [call]} if step.tool else {"content": step.said}
        message = {"role": "assistant", "refusal": None, **said}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return [json.dumps({**common, "object": "chat.completion", "choices": [choice], "usage": counted}).encode()]
    deltas: list[Fields] = [{"role": "assistant", "content": None if step.tool else "", "refusal": None}]
    if step.tool:
        deltas.append({"tool_calls": [{"index": 0, **call, "function": {"name": step.tool, "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in _pieces(step.said)
        ]  # fmt: skip
    else:
        deltas += [{"content": text} for text in _pieces(step.said)]
    chunks: list[Fields] = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas]
    chunks.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish})
    about = {**common, "object": "chat.completion.chunk"}
    events: list[Fields] = [{**about, "choices": [chunk], "usage": None} for chunk in chunks]
    if (asked.get("stream_options") or {}).get("include_usage"):
        events.append({**about, "choices": [], "usage": counted})
    return [*(f"data: {json.dumps(event)}\n\n".encode() for event in events), b"data: [DONE]\n\n"]


def responses(asked: Fields, step: Step, usage: Usage) -> list[bytes]:
    """OpenAI's response, with hidden thoughts in front; one piece if it is whole."""
    thought = {"id": _id("rs_"), "type": "reasoning", "summary": [], "encrypted_content": secrets.token_urlsafe(60)}
    item, spoken = _item(step)
    about = {
        "id": _id("resp_"),
        "object": "response",
        "created_at": 1764547200,
        "model": asked["model"],
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "metadata": {},
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "store": asked.get("store", True),
    }
    counted = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": _read_and_written(usage),
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    whole = {**about, "status": "completed", "output": [thought, item], "usage": counted}
    if not asked.get("stream"):
        return [json.dumps(whole).encode()]
    begun = {"response": {**about, "status": "in_progress", "output": [], "usage": None}}
    events: list[Event] = [("response.created", begun), ("response.in_progress", begun)]
    events += [("response.output_item.added", {"output_index": 0, "item": {**thought, "encrypted_content": ""}})]
    events += [("response.output_item.done", {"output_index": 0, "item": thought})]
    events += [("response.output_item.added", {"output_index": 1, "item": {**item, **_unsaid(item)}})]
    events += [(name, {"item_id": item["id"], "output_index": 1, **data}) for name, data in spoken]
    events += [
        ("response.output_item.done", {"output_index": 1, "item": item}),
        ("response.completed", {"response": whole}),
    ]
    numbers = count()
    return [_event(name, {"sequence_number": next(numbers), **data}) for name, data in events]


def _item(step: Step) -> tuple[Fields, list[Event]]:
    """An item of a response, and the events that say it."""
    if not step.tool:
        part = {"type": "output_text", "text": step.said, "annotations": [], "logprobs": []}
        place = {"content_index": 0}
        item = {"id": _id("msg_"), "type": "message", "status": "completed", "role": "assistant", "content": [part]}
        deltas = [
            ("response.output_text.delta", {**place, "delta": text, "logprobs": []}) for text in _pieces(step.said)
        ]
        begins = ("response.content_part.added", {**place, "part": {**part, "text": ""}})
        done = ("response.output_text.done", {**place, "text": step.said, "logprobs": []})
        return item, [begins, *deltas, done, ("response.content_part.done", {**place, "part": part})]
    common = {"id": _id("ctc_" if step.custom else "fc_"), "status": "completed", "call_id": _id("call_")}
    kind, said, event = ("custom_tool_call", "input", "response.custom_tool_call_input")
    if not step.custom:
        kind, said, event = ("function_call", "arguments", "response.function_call_arguments")
    item = {**common, "type": kind, "name": step.tool, said: step.said}
    spoken = [(f"{event}.delta", {"delta": text}) for text in _pieces(step.said)]
    return item, [*spoken, (f"{event}.done", {said: step.said})]


def _unsaid(item: Fields) -> Fields:
    empty = {"content": [], "input": "", "arguments": ""}
    return {"status": "in_progress", **{name: value for name, value in empty.items() if name in item}}


def _read_and_written(usage: Usage) -> Fields:
    return {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens}


def _id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)
