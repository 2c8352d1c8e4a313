"""What the fake OpenAI answers: always the same to the same request, whole or streamed, in OpenAI's own shapes."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

DONE = "[DONE]"
_SNAPSHOTS = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-3.5-turbo-instruct": "gpt-3.5-turbo-instruct:20230824-v2",
}
_HOW_AND_WHO = ("model", "stream", "stream_options")  # the answer does not depend on these
_EXAMPLES: dict[str, Any] = {"string": "München ☕", "integer": 42, "number": 1.5, "boolean": True, "null": None}


def answer(path: str, body: dict[str, Any], number: int) -> dict[str, Any]:
    """The whole answer to the `number`th request."""
    if path == "/v1/embeddings":
        return _embeddings(body)
    chat = path == "/v1/chat/completions"
    choices = (_chat_choice if chat else _text_choice)(body)
    return {**_frame(body, number, "chat.completion" if chat else "text_completion"), "choices": choices,
            "usage": _usage(body, choices)}  # fmt: skip


def events(path: str, body: dict[str, Any], number: int) -> Iterator[str]:
    """The data of every event of the streamed answer, `[DONE]` included."""
    chat = path == "/v1/chat/completions"
    options = body.get("stream_options") or {}
    frame = _frame(body, number, "chat.completion.chunk" if chat else "text_completion")
    null = {"usage": None} if options.get("include_usage") else {}
    noise = {"obfuscation": "Zq7"} if chat and options.get("include_obfuscation", True) else {}
    choices = (_chat_choice if chat else _text_choice)(body)
    for choice in choices:
        for part in _deltas(choice) if chat else _texts(choice):
            yield json.dumps({**frame, "choices": [part], **null, **noise}, ensure_ascii=False)
    if options.get("include_usage"):
        yield json.dumps({**frame, "choices": [], "usage": _usage(body, choices), **noise}, ensure_ascii=False)
    yield DONE


def pieces(text: str) -> list[str]:
    """The text as the tokens that this model makes of it."""
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def _frame(body: dict[str, Any], number: int, kind: str) -> dict[str, Any]:
    model = _SNAPSHOTS.get(body["model"], body["model"])
    frame = {"id": f"chatcmpl-{number:08}", "object": kind, "created": 1_790_000_000 + number, "model": model}
    return {**frame, "service_tier": "default", "system_fingerprint": "fp_0123abcd"} if "chat" in kind else frame


def _usage(body: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    asked = json.dumps({name: value for name, value in body.items() if name not in _HOW_AND_WHO}, sort_keys=True)
    prompt, completion = len(asked) // 4, 0
    for choice in choices:
        message = choice.get("message", {"content": choice.get("text")})
        calls = [call["function"]["arguments"] for call in message.get("tool_calls") or ()]
        completion += sum(len(pieces(text)) for text in [message["content"] or "", *calls])
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": prompt // 3, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": completion // 5, "audio_tokens": 0,
                                      "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    }  # fmt: skip


def _chat_choice(body: dict[str, Any]) -> list[dict[str, Any]]:
    choices = []
    for index in range(body.get("n") or 1):
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
        reason, logprobs = "stop", None
        if calls := _tool_calls(body, index):
            message["tool_calls"] = calls
            reason = "stop" if isinstance(body.get("tool_choice"), dict) else "tool_calls"
        else:
            message["content"], reason = _cut(_text(body, index), body)
            logprobs = _logprobs(message["content"], body)
        choices.append({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason})
    return choices


def _cut(text: str, body: dict[str, Any]) -> tuple[str, str]:
    cap = body.get("max_completion_tokens") or body.get("max_tokens")
    tokens = pieces(text)
    return ("".join(tokens[:cap]), "length") if cap and cap < len(tokens) else (text, "stop")


def _logprobs(text: str, body: dict[str, Any]) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    content = []
    for at, piece in enumerate(pieces(text)):
        entry = {"token": piece, "logprob": -0.25 * at, "bytes": list(piece.encode())}
        content.append({**entry, "top_logprobs": [entry] * (body.get("top_logprobs") or 0)})
    return {"content": content, "refusal": None}


def _text(body: dict[str, Any], index: int) -> str:
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return json.dumps(example(form["json_schema"].get("schema", {})), ensure_ascii=False)
    last = body["messages"][-1]
    if last["role"] == "tool":
        said = [m["content"] for m in body["messages"] if m["role"] == "tool"]
        return f"The tools said {json.dumps(said, ensure_ascii=False)}."
    content = last.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    asked = "".join(part["text"] for part in parts if part["type"] == "text")
    images = sum(part["type"] == "image_url" for part in parts)
    return f"Answer {index} to “{asked}” with {images} images: 🙂👩‍🚀 漢字かな Ünïcödé\n\ndata: {DONE}\n\nis not the end.\r\n"


def _tool_calls(body: dict[str, Any], index: int) -> list[dict[str, Any]]:
    """Two calls, or one where parallel ones are not wanted; none once the tools have answered."""
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    if not tools or choice == "none" or body["messages"][-1]["role"] == "tool":
        return []
    if isinstance(choice, dict):
        tools = [tool for tool in tools if tool["function"]["name"] == choice["function"]["name"]]
    single = isinstance(choice, dict) or body.get("parallel_tool_calls") is False
    chosen = [tools[0]] if single else [tools[0], tools[-1]]
    return [
        {
            "id": f"call_{index}{place}{hashlib.sha256(tool['function']['name'].encode()).hexdigest()[:20]}",
            "type": "function",
            "function": {
                "name": tool["function"]["name"],
                "arguments": json.dumps(example(tool["function"].get("parameters", {})), ensure_ascii=False),
            },
        }
        for place, tool in enumerate(chosen)
    ]


def example(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """A value that fits a JSON schema."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example(root["$defs"][schema["$ref"].rsplit("/", 1)[-1]], root)
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    if "anyOf" in schema:
        return example(schema["anyOf"][0], root)
    if schema.get("type") == "array":
        return [example(schema["items"], root)] * 2
    if schema.get("type", "object") == "object":
        return {name: example(inner, root) for name, inner in schema.get("properties", {}).items()}
    return _EXAMPLES[schema["type"]]


def _deltas(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    message, index = choice["message"], choice["index"]

    def part(delta: dict[str, Any], reason: str | None = None, logprobs: Any = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    calls = message.get("tool_calls")
    yield part({"role": "assistant", "content": None if calls else "", "refusal": None})
    for at, piece in enumerate(pieces(message["content"] or "")):
        scores = choice["logprobs"] and {"content": [choice["logprobs"]["content"][at]], "refusal": None}
        yield part({"content": piece}, None, scores)
    for at, call in enumerate(calls or ()):
        yield part({"tool_calls": [{**call, "index": at, "function": {**call["function"], "arguments": ""}}]})
        for piece in pieces(call["function"]["arguments"]):
            yield part({"tool_calls": [{"index": at, "function": {"arguments": piece}}]})
    yield part({}, choice["finish_reason"])


def _text_choice(body: dict[str, Any]) -> list[dict[str, Any]]:
    prompts = _several(body["prompt"])
    choices = []
    for prompt in prompts:
        for _ in range(body.get("n") or 1):
            text, reason = _cut(f"{prompt} … 🙂 漢字\n\ndata: {DONE}\n\n, {len(choices)}.", body)
            choices.append({"text": text, "index": len(choices), "logprobs": None, "finish_reason": reason})
    return choices


def _texts(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in pieces(choice["text"]):
        yield {**choice, "text": piece, "finish_reason": None}
    yield {**choice, "text": ""}


def _several(given: Any) -> list[Any]:
    """A list of texts or of lists of tokens as it is; one text or one list of tokens as a list of one."""
    return given if isinstance(given, list) and not isinstance(given[0], int) else [given]


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    size = body.get("dimensions") or 8
    data = []
    for index, one in enumerate(_several(body["input"])):
        digest = hashlib.sha512(json.dumps(one).encode()).digest() * (size // 64 + 1)
        vector: Any = [byte / 128 - 1 for byte in digest[:size]]  # exact in 32 bits
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = len(json.dumps(body["input"])) // 4
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}
