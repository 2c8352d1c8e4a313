"""What the fake Anthropic answers: always the same to the same request, whole or streamed, in Anthropic's own shapes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.openai_answers import example, pieces

REFUSE = "REFUSE"  # in what a user says, and there is no answer
# https://platform.claude.com/docs/en/build-with-claude/extended-thinking has this text for tests of the kind.
REDACT = (
    "ANTHROPIC_MAGIC_STRING_TRIGGER_REDACTED_THINKING_46C9A13E193C177646C7398A98432ECCCE4C1253D5E2D82641AC0E52CC2876CB"
)
REDACTED = "data-of-the-vendor"
_SNAPSHOTS = {"claude-haiku-4-5": "claude-haiku-4-5-20251001"}
_MODELS = {"claude-opus-5-5": "Claude Opus 5.5", "claude-haiku-4-5-20251001": "Claude Haiku 4.5"}
_FROM_CLIENT = {"type": "direct"}  # who may call a tool


def answer(body: dict[str, Any], number: int, known: set[str] | None = None) -> dict[str, Any]:
    """The whole answer to the `number`th request; `known` is what the prompt cache holds, and learns."""
    content, stop = _content(body)
    thought = sum(len(pieces(_thought(body))) for block in content if block["type"] == "thinking")
    return {
        "id": f"msg_{number:08}",
        "type": "message",
        "role": "assistant",
        "model": _SNAPSHOTS.get(body["model"], body["model"]),
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        **stop,
        "usage": {
            **_prompt(body, set() if known is None else known),
            "output_tokens": max(1, thought + sum(map(_length, content))),
            "output_tokens_details": {"thinking_tokens": thought},
            "server_tool_use": None,
            "service_tier": "standard",
        },
    }


def events(body: dict[str, Any], number: int, known: set[str] | None = None) -> Iterator[dict[str, Any]]:
    """Every event of the streamed answer."""
    whole = answer(body, number, known)
    content, usage = whole["content"], whole["usage"]
    begun = {name: value for name, value in usage.items() if name != "output_tokens_details"} | {"output_tokens": 1}
    ended = {name: usage[name] for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens",
                                            "output_tokens", "output_tokens_details")}  # fmt: skip
    stop = {name: whole[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    message = {**whole, "content": [], **dict.fromkeys(stop), "usage": begun}
    yield {"type": "message_start", "message": message}
    for index, block in enumerate(content):
        yield {"type": "content_block_start", "index": index, "content_block": _opening(block)}
        if index == 0:
            yield {"type": "ping"}
        for delta in _deltas(block):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "ping"}
    yield {"type": "message_delta", "delta": stop, "usage": ended}
    yield {"type": "message_stop"}


def count(body: dict[str, Any]) -> dict[str, Any]:
    """How many tokens a request has, whatever the prompt cache holds."""
    return {"input_tokens": _marks(body)[0]}


def models() -> list[dict[str, Any]]:
    """The models that there are, the newest first."""
    return [
        {
            "type": "model",
            "id": name,
            "display_name": shown,
            "created_at": "2026-02-04T00:00:00Z",
            "lifecycle": "active",
            "max_input_tokens": 200_000,
            "max_tokens": 64_000,
            **dict.fromkeys(("capabilities", "deprecated_at", "line", "retires_at")),
        }
        for name, shown in _MODELS.items()
    ]


def blocks(content: Any) -> list[dict[str, Any]]:
    """A message's content as blocks."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def signature(thinking: str) -> str:
    """What proves that a thought is the vendor's own, and as it was."""
    return f"sig-of-the-vendor-{hashlib.sha256(thinking.encode()).hexdigest()[:24]}=="


def _content(body: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    last = blocks(body["messages"][-1]["content"])
    if any(block["type"] == "text" and REFUSE in block["text"] for block in last):
        details = {"type": "refusal", "category": "cyber", "explanation": "This request could enable cyber harm."}
        return [{"type": "text", "text": "I can"}], {"stop_reason": "refusal", "stop_details": details}
    results = [block for block in last if block["type"] == "tool_result"]
    content = [] if results else _thoughts(body)
    if not results and (calls := _calls(body)):
        return [*content, {"type": "text", "text": "Let me look: "}, *calls], {"stop_reason": "tool_use"}
    cap = body["max_tokens"] - sum(len(pieces(block.get("thinking", ""))) for block in content)
    text, stop = _cut(_text(body, last, results), cap, body.get("stop_sequences") or [])
    return [*content, *([{"type": "text", "text": text}] if text else [])], stop


def _thoughts(body: dict[str, Any]) -> list[dict[str, Any]]:
    thinking = body.get("thinking") or {}
    if thinking.get("type") not in ("enabled", "adaptive"):
        return []
    shown = "" if thinking.get("display") == "omitted" else _thought(body)
    found = [{"type": "thinking", "thinking": shown, "signature": signature(shown)}]
    return [*found, {"type": "redacted_thinking", "data": REDACTED}] if REDACT in _thought(body) else found


def _thought(body: dict[str, Any]) -> str:
    return f"What is “{_said(blocks(body['messages'][-1]['content']))}”? 🤔"


def _said(last: list[dict[str, Any]]) -> str:
    return "".join(block["text"] for block in last if block["type"] == "text")


def _text(body: dict[str, Any], last: list[dict[str, Any]], results: list[dict[str, Any]]) -> str:
    form = (body.get("output_config") or {}).get("format") or {}
    if form:
        return json.dumps(example(form["schema"]), ensure_ascii=False)
    if results:
        said = ["" if "content" not in result else _said(blocks(result["content"])) for result in results]
        return f"The tools said {json.dumps(said, ensure_ascii=False)}."
    seen = " and ".join(_described(block) for block in last if block["type"] in ("image", "document")) or "nothing"
    return (
        f"Answer to “{_said(last)}” with {seen}: 🙂👩‍🚀 漢字かな Ünïcödé\n\nevent: message_stop\n\nis not the end.\r\n"
    )


def _described(block: dict[str, Any]) -> str:
    source = block["source"]
    if source["type"] == "base64":
        return f"{source['media_type']} of {len(base64.b64decode(source['data']))} bytes"
    return f"{block['type']} {source.get('url') or source.get('media_type')}"


def _cut(text: str, cap: int, stops: list[str]) -> tuple[str, dict[str, Any]]:
    found = min((stop for stop in stops if stop in text), key=text.index, default=None)
    said = text if found is None else text[: text.index(found)]
    tokens = pieces(said)
    if len(tokens) > cap:
        return "".join(tokens[: max(0, cap)]), {"stop_reason": "max_tokens"}
    return said, {} if found is None else {"stop_reason": "stop_sequence", "stop_sequence": found}


def _calls(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Two calls of the tools that the client has, or one where parallel ones are not wanted."""
    tools = [tool for tool in body.get("tools") or [] if "input_schema" in tool]
    choice = body.get("tool_choice") or {"type": "auto"}
    if choice["type"] == "tool":
        tools = [tool for tool in tools if tool["name"] == choice["name"]]
    if not tools or choice["type"] == "none":
        return []
    single = choice["type"] == "tool" or choice.get("disable_parallel_tool_use")
    return [
        {
            "type": "tool_use",
            "id": f"toolu_{len(body['messages'])}{place}{hashlib.sha256(tool['name'].encode()).hexdigest()[:20]}",
            "name": tool["name"],
            "input": example(tool["input_schema"]),
            "caller": _FROM_CLIENT,
        }
        for place, tool in enumerate([tools[0]] if single else [tools[0], tools[-1]])
    ]


def _length(block: dict[str, Any]) -> int:
    """Its tokens, but for thoughts: of those, all are billed and not all may be shown."""
    return len(pieces(json.dumps(block["input"], ensure_ascii=False) if "input" in block else block.get("text", "")))


def _prompt(body: dict[str, Any], known: set[str]) -> dict[str, Any]:
    """The tokens of the prompt. What stands before a mark is read from the cache if it is there, else written to it."""
    total, marks = _marks(body)
    upto = read = max((tokens for tokens, _, key in marks if key in known), default=0)
    written = {"5m": 0, "1h": 0}
    for tokens, life, key in marks:
        if tokens > read:
            written[life] += tokens - upto
            upto = tokens
        known.add(key)
    return {
        "input_tokens": total - upto,
        "cache_creation_input_tokens": upto - read,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written["5m"], "ephemeral_1h_input_tokens": written["1h"]},
    }


def _marks(body: dict[str, Any]) -> tuple[int, list[tuple[int, str, str]]]:
    """The tokens of the whole prompt, and of what stands before each mark: with its life, and a name of all that."""
    said = [{"role": one["role"], **block} for one in body["messages"] for block in blocks(one["content"])]
    parts = [*(body.get("tools") or ()), *blocks(body.get("system") or []), *said]
    whole = hashlib.sha256(body["model"].encode())
    total, marks = 0, []
    for place, part in enumerate(parts, 1):
        bare = json.dumps({name: value for name, value in part.items() if name != "cache_control"}, sort_keys=True)
        whole.update(bare.encode())
        total += len(bare) // 4 + 1
        if mark := part.get("cache_control") or (place == len(parts) and body.get("cache_control")):
            marks.append((total, mark.get("ttl") or "5m", whole.hexdigest()))
    return total, marks


def _opening(block: dict[str, Any]) -> dict[str, Any]:
    empty = {"text": "", "thinking": "", "signature": "", "input": {}}
    return {name: empty.get(name, value) for name, value in block.items()}


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": piece} for piece in pieces(block["text"]))
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"]))
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "tool_use":
        given = ["", *pieces(json.dumps(block["input"], ensure_ascii=False))]
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in given)
