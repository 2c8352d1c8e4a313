"""What the fake OpenAI answers at `/v1/responses`: always the same to the same request, whole or streamed.

A prompt that speaks of REFUSE is refused; reasoning models, and any model that is told how much to think, think first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.fakes.openai_answers import example, pieces

REFUSED = "REFUSE"
_SEALED = "gAAAAABk"  # what thoughts that this vendor has sealed begin with
_HOW_AND_WHO = ("model", "stream", "stream_options", "store", "include")
_REASONS = re.compile(r"(?:^|/)(?:o\d|gpt-[5-9])")
_SUMMARY = "**Thinking**\n\nFirst, 漢字 …"


def answer(body: dict[str, Any], number: int) -> dict[str, Any]:
    """The whole answer to the `number`th request."""
    output, why = _output(body, number)
    end = {"status": "incomplete", "incomplete_details": {"reason": why}} if why else {"status": "completed"}
    return {**_head(body, number), **end, "output": output, "usage": _usage(body, output)}


def events(body: dict[str, Any], number: int) -> Iterator[str]:
    """The data of every event of the streamed answer."""
    whole = answer(body, number)
    noise = (body.get("stream_options") or {}).get("include_obfuscation", True)
    for at, event in enumerate(_events(whole, _head(body, number))):
        padding = {"obfuscation": "Zq7"} if noise and event["type"].endswith(".delta") else {}
        yield json.dumps({"type": event["type"], "sequence_number": at, **event, **padding}, ensure_ascii=False)


def misfits(body: dict[str, Any]) -> list[str]:
    """What OpenAI would not take of an input, though it fits the schema."""
    found, called = [], set()
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        kind = item.get("type")
        if kind in ("function_call", "custom_tool_call"):
            called.add(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output") and item["call_id"] not in called:
            found.append(f"No tool call found for function call output with call_id {item['call_id']}.")
        elif kind == "reasoning" and not (item.get("encrypted_content") or _SEALED).startswith(_SEALED):
            found.append(f"The encrypted content for item {item['id']} could not be verified.")
    return found


def _head(body: dict[str, Any], number: int) -> dict[str, Any]:
    usual = {
        "background": False, "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
        "parallel_tool_calls": True, "previous_response_id": None, "prompt_cache_key": None,
        "safety_identifier": None, "service_tier": "default", "store": True, "temperature": 1.0,
        "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "user": None,
    }  # fmt: skip
    told = {name: value if body.get(name) is None else body[name] for name, value in usual.items()}
    return {
        "id": f"resp_{number:08}",
        "object": "response",
        "created_at": 1_790_000_000 + number,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": body["model"],
        "output": [],
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "text": {"format": {"type": "text"}, "verbosity": "medium", **(body.get("text") or {})},
        "usage": None,
        **told,
    }


def _output(body: dict[str, Any], number: int) -> tuple[list[dict[str, Any]], str | None]:
    """The items, and why they are not all."""
    output = [_thoughts(body, number)] if _REASONS.search(body["model"]) or body.get("reasoning") else []
    if calls := _calls(body, number):
        return [*output, *calls], None
    said = _last(body)
    tokens, cap = pieces(_text(body, said)), body.get("max_output_tokens")
    why = "max_output_tokens" if cap and cap < len(tokens) else None
    message = {"id": f"msg_{number:08}", "type": "message", "status": "incomplete" if why else "completed"}
    part: dict[str, Any] = {"type": "refusal", "refusal": "I'm sorry, I can't help with that."}
    if REFUSED not in said:
        text = "".join(tokens[:cap] if why else tokens)
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return [*output, {**message, "role": "assistant", "content": [part]}], why


def _thoughts(body: dict[str, Any], number: int) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": _SUMMARY}] if (body.get("reasoning") or {}).get("summary") else []
    item: dict[str, Any] = {"id": f"rs_{number:08}", "type": "reasoning", "summary": summary}
    if "reasoning.encrypted_content" in (body.get("include") or ()):
        item["encrypted_content"] = f"{_SEALED}{number:08}=="
    return item


def _last(body: dict[str, Any]) -> str:
    """The text that was said last; "" where it was a tool's."""
    given = body.get("input") or ""
    if isinstance(given, str):
        return given
    content = given[-1].get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _text(body: dict[str, Any], said: str) -> str:
    form = (body.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(example(form["schema"]), ensure_ascii=False)
    items = body.get("input") if isinstance(body.get("input"), list) else []
    if results := [item["output"] for item in items if str(item.get("type")).endswith("_call_output")]:
        return f"The tools said {json.dumps(results, ensure_ascii=False)}."
    images = json.dumps(items).count('"input_image"')
    return f"Answer to “{said}” with {images} images: 🙂👩‍🚀 漢字かな Ünïcödé\n\ndata: [DONE]\n\nis not the end.\r\n"


def _calls(body: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """A call of the first tool and one of the last, or one where parallel ones are not wanted; none once tools have
    answered."""
    tools = [tool for tool in body.get("tools") or () if tool["type"] in ("function", "custom")]
    choice, items = body.get("tool_choice"), body.get("input")
    answered = isinstance(items, list) and str(items[-1].get("type")).endswith("_call_output")
    if not tools or choice == "none" or answered:
        return []
    if isinstance(choice, dict) and "name" in choice:
        tools = [tool for tool in tools if tool["name"] == choice["name"]]
    single = isinstance(choice, dict) or body.get("parallel_tool_calls") is False
    return [_call(tool, f"{number:08}{at}") for at, tool in enumerate([tools[0]] if single else [tools[0], tools[-1]])]


def _call(tool: dict[str, Any], tag: str) -> dict[str, Any]:
    whose = {"call_id": f"call_{tag}{hashlib.sha256(tool['name'].encode()).hexdigest()[:16]}", "name": tool["name"]}
    if tool["type"] == "custom":
        item = {"id": f"ctc_{tag}", "type": "custom_tool_call", "status": "completed", **whose}
        return {**item, "input": f"*** Begin {tool['name']}\n漢字\n*** End"}
    arguments = json.dumps(example(tool.get("parameters") or {}), ensure_ascii=False)
    return {"id": f"fc_{tag}", "type": "function_call", "status": "completed", **whose, "arguments": arguments}


def _usage(body: dict[str, Any], output: list[dict[str, Any]]) -> dict[str, Any]:
    asked = json.dumps({name: value for name, value in body.items() if name not in _HOW_AND_WHO}, sort_keys=True)
    spoken = [part.get("text") or part.get("refusal") for item in output for part in item.get("content", ())]
    spoken += [item.get("arguments") or item.get("input") for item in output]
    said, thought = sum(len(pieces(text)) for text in spoken if text), 64 if output[0]["type"] == "reasoning" else 0
    return {
        "input_tokens": len(asked) // 4,
        "input_tokens_details": {"cached_tokens": len(asked) // 12, "cache_write_tokens": 0},
        "output_tokens": said + thought,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": len(asked) // 4 + said + thought,
    }


def _events(whole: dict[str, Any], head: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": head}
    yield {"type": "response.in_progress", "response": head}
    for at, item in enumerate(whole["output"]):
        begun = {name: [] if name in ("content", "summary") else value for name, value in item.items()}
        begun |= {name: "" for name in ("arguments", "input") if name in item}
        begun |= {"status": "in_progress"} if "status" in item else {}
        yield {"type": "response.output_item.added", "output_index": at, "item": begun}
        for event in _of_item(item):
            yield {**event, "item_id": item["id"], "output_index": at}
        yield {"type": "response.output_item.done", "output_index": at, "item": item}
    yield {"type": f"response.{whole['status']}", "response": whole}


def _of_item(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if item["type"] == "message":
        for at, part in enumerate(item["content"]):
            kind = part["type"]
            name = "refusal" if kind == "refusal" else "text"
            yield from _of_text("response.content_part", part, name, f"response.{kind}", content_index=at)
    elif item["type"] == "reasoning":
        for at, part in enumerate(item["summary"]):
            name = "response.reasoning_summary"
            yield from _of_text(f"{name}_part", part, "text", f"{name}_text", summary_index=at)
    elif item["type"] == "function_call":
        yield from _pieces("response.function_call_arguments", "arguments", item["arguments"], {"name": item["name"]})
    else:
        yield from _pieces("response.custom_tool_call_input", "input", item["input"], {})


def _of_text(around: str, part: dict[str, Any], name: str, kind: str, **where: int) -> Iterator[dict[str, Any]]:
    yield {"type": f"{around}.added", "part": {**part, name: ""}, **where}
    scores = {"logprobs": []} if kind == "response.output_text" else {}
    for event in _pieces(kind, name, part[name], scores, scores):
        yield {**event, **where}
    yield {"type": f"{around}.done", "part": part, **where}


def _pieces(
    kind: str, name: str, text: str, at_the_end: dict[str, Any], always: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    for piece in pieces(text):
        yield {"type": f"{kind}.delta", "delta": piece, **(always or {})}
    yield {"type": f"{kind}.done", name: text, **at_the_end}
