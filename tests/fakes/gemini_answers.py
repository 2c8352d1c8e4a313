"""What the fake Gemini answers: always the same to the same request, whole or streamed, in Google's own shapes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.gemini_schema import DIMENSIONS
from tests.fakes.openai_answers import example, pieces

BLOCK = "BLOCK"  # in what a user says, and the prompt is not answered
HOLD_BACK = "HOLD BACK"  # … and the answer is held back
THOUGHT = "**Looking at it** The user wants an answer. 🤔"
_CALL = 9  # tokens of a call, beside its arguments
_TYPES = {"STRING": "string", "INTEGER": "integer", "NUMBER": "number", "BOOLEAN": "boolean", "ARRAY": "array",
          "OBJECT": "object"}  # fmt: skip
_RATINGS = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]


def answer(model: str, body: dict[str, Any], number: int) -> dict[str, Any]:
    """The whole answer to the `number`th request."""
    head = {"modelVersion": model, "responseId": f"resp{number:08}"}
    if BLOCK in _asked(body):
        feedback = {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": _RATINGS}
        return {"promptFeedback": feedback, "usageMetadata": _usage(body, []), **head}
    count = (body.get("generationConfig") or {}).get("candidateCount", 1)
    candidates = [_candidate(model, body, index) for index in range(count)]
    return {"candidates": candidates, "usageMetadata": _usage(body, candidates), **head}


def events(model: str, body: dict[str, Any], number: int) -> Iterator[str]:
    """The data of every event of the streamed answer: usage in all of them, the reason in the last of a candidate."""
    whole = answer(model, body, number)
    head = {name: whole[name] for name in ("modelVersion", "responseId")}
    if "candidates" not in whole:
        yield json.dumps(whole)
        return
    begun = {name: whole["usageMetadata"][name] for name in ("promptTokenCount", "cachedContentTokenCount")}
    for candidate in whole["candidates"]:
        is_last = candidate is whole["candidates"][-1]
        *before, last = list(_pieces(candidate)) or [{}]
        for part in before:
            some = {"content": {"parts": [part], "role": "model"}, "index": candidate["index"]}
            yield json.dumps({"candidates": [some], "usageMetadata": begun, **head}, ensure_ascii=False)
        rest = {**candidate, "content": {"parts": [last], "role": "model"}} if last else candidate
        usage = whole["usageMetadata"] if is_last else begun
        yield json.dumps({"candidates": [rest], "usageMetadata": usage, **head}, ensure_ascii=False)


def counted(body: dict[str, Any]) -> dict[str, Any]:
    """How many tokens a prompt has: as many as are reported of it once it is answered."""
    tokens = _prompt_tokens(body.get("generateContentRequest", body))
    return {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}


def embedded(body: dict[str, Any], with_usage: bool) -> dict[str, Any]:
    """The embeddings of some texts."""
    found = {"embeddings": [{"values": _vector(request)} for request in body["requests"]]}
    tokens = sum(len(json.dumps(request["content"])) for request in body["requests"]) // 4
    details = [{"modality": "TEXT", "tokenCount": tokens}]
    usage = {"usageMetadata": {"promptTokenCount": tokens, "promptTokenDetails": details}}
    return found | (usage if with_usage else {})


def _vector(request: dict[str, Any]) -> list[float]:
    size = request.get("outputDimensionality", DIMENSIONS)
    digest = hashlib.sha512(json.dumps(request["content"]).encode()).digest() * (size // 64 + 1)
    return [byte / 128 - 1 for byte in digest[:size]]  # exact in 32 bits


def signature(model: str, name: str) -> str:
    """What stands beside a call of a model's."""
    return base64.b64encode(f"thoughts of {model} before {name}".encode()).decode()


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> bytes:
    """The body of an error, and the data of one in a stream: https://google.aip.dev/193."""
    told = {"code": code, "message": message, "status": status, **({"details": list(details)} if details else {})}
    return json.dumps({"error": told}, indent=2).encode()


def invalid(message: str, *details: dict[str, Any]) -> bytes:
    """The body of a 400."""
    return error(400, "INVALID_ARGUMENT", message, *details)


def exhausted(per: str = "Minute", delay: str | None = "17s") -> bytes:
    """The body of a 429 for a quota of a `Minute` or a `Day`."""
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violation = {"quotaMetric": metric, "quotaId": f"GenerateRequestsPer{per}PerProjectPerModel-FreeTier",
                 "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"}, "quotaValue": "10"}  # fmt: skip
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "Learn more about quotas"}]},
    ]
    if delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    message = "You exceeded your current quota, please check your plan and billing details."
    return error(429, "RESOURCE_EXHAUSTED", message, *details)


def overloaded() -> bytes:
    """The body of a 503."""
    return error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")


def models() -> dict[str, Any]:
    """The list of models."""
    names = ("gemini-2.5-flash", "gemini-3-flash-preview")
    return {"models": [{"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]} for name in names]}


def wrong_key() -> bytes:
    """The body of the 400 for a credential that nobody knows."""
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    return invalid("API key not valid. Please pass a valid API key.", reason)


def _asked(body: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in body["contents"][-1]["parts"])


def _prompt_tokens(body: dict[str, Any]) -> int:
    asked = {name: body.get(name) for name in ("systemInstruction", "contents", "tools")}
    return len(json.dumps(asked, sort_keys=True)) // 4


def _usage(body: dict[str, Any], candidates: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts of 0 are not sent."""
    prompt, spoken, thought = _prompt_tokens(body), 0, 0
    for candidate in candidates:
        for part in (candidate.get("content") or {}).get("parts") or ():
            tokens = len(pieces(part.get("text", ""))) or _CALL + len(json.dumps(part["functionCall"]["args"])) // 4
            spoken, thought = (spoken, thought + tokens) if part.get("thought") else (spoken + tokens, thought)
    counts = {"promptTokenCount": prompt, "cachedContentTokenCount": prompt // 3, "candidatesTokenCount": spoken,
              "thoughtsTokenCount": thought, "totalTokenCount": prompt + spoken + thought}  # fmt: skip
    details = [{"modality": "TEXT", "tokenCount": prompt}]
    return {name: count for name, count in counts.items() if count} | {"promptTokensDetails": details}


def _candidate(model: str, body: dict[str, Any], index: int) -> dict[str, Any]:
    if HOLD_BACK in _asked(body):
        return {"finishReason": "SAFETY", "index": index, "safetyRatings": _RATINGS}
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    parts: list[dict[str, Any]] = [{"text": THOUGHT, "thought": True}] if thinking.get("includeThoughts") else []
    reason = "STOP"
    if calls := _calls(model, body):
        parts += calls
    else:
        tokens, cap = pieces(_text(body, index)), config.get("maxOutputTokens")
        if cap and cap < len(tokens):
            reason, tokens = "MAX_TOKENS", tokens[:cap]
        parts.append({"text": "".join(tokens)})
    return {"content": {"parts": parts, "role": "model"}, "finishReason": reason, "index": index}


def _text(body: dict[str, Any], index: int) -> str:
    config = body.get("generationConfig") or {}
    if schema := config.get("responseJsonSchema") or config.get("responseSchema"):
        return json.dumps(example(_small(schema)), ensure_ascii=False)
    if config.get("responseMimeType") == "application/json":
        return '{"answer": "München ☕"}'
    last = body["contents"][-1]["parts"]
    if told := [part["functionResponse"]["response"] for part in last if "functionResponse" in part]:
        return f"The tools said {json.dumps(told, ensure_ascii=False)}."
    files = sum("inlineData" in part or "fileData" in part for part in last)
    return (
        f"Answer {index} to “{_asked(body)}” with {files} files: 🙂👩‍🚀 漢字かな Ünïcödé\n\ndata: is not the end.\r\n"
    )


def _small(schema: Any) -> Any:
    """A schema of Google's own words as JSON Schema has it."""
    if isinstance(schema, list):
        return [_small(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _TYPES.get(inner, inner) if name == "type" else _small(inner) for name, inner in schema.items()}


def _calls(model: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Two calls, or one of the function that is wanted; none once the tools have answered. The first is signed, and
    only newer models give them ids."""
    tools = [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()]
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    answered = any("functionResponse" in part for part in body["contents"][-1]["parts"])
    if not tools or answered or calling.get("mode") == "NONE":
        return []
    wanted = calling.get("allowedFunctionNames")
    chosen = [tool for tool in tools if tool["name"] in wanted] if wanted else [tools[0], tools[-1]]
    calls = []
    for place, tool in enumerate(chosen):
        schema = _small(tool.get("parametersJsonSchema") or tool.get("parameters") or {})
        call = {"name": tool["name"], "args": example(schema)}
        if model.startswith("gemini-3"):
            call["id"] = f"fc{place}{tool['name']}"
        calls.append(
            {"functionCall": call} | ({"thoughtSignature": signature(model, tool["name"])} if not place else {})
        )
    return calls


def _pieces(candidate: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (candidate.get("content") or {}).get("parts") or ():
        if "text" in part:
            yield from ({**part, "text": piece} for piece in pieces(part["text"]))
        else:
            yield part
