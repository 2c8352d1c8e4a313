"""Requests in the form of OpenAI's chat as Gemini takes them.

Shapes: https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/function-calling,
https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import orjson

from gateway.wire.fields import Untranslatable

Part = dict[str, Any]

# Models that are told how much to think in words, and refuse a call of theirs in the history without its signature.
_NEWER = re.compile(r"gemini-(?:[3-9]|\d\d|(?:pro|flash|flash-lite)-latest)")
# What Google documents for calls that another model made, or a client that does not keep signatures sends back.
_UNSIGNED = "skip_thought_signature_validator"
# OpenAI's efforts as Google maps them: https://ai.google.dev/gemini-api/docs/openai#thinking. Newer models cannot be
# told not to think at all.
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH"}
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576}  # tokens
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_NUMBERS = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
}
_CAPS = ("max_completion_tokens", "max_tokens")
_THOUGHTS = ("thinking", "redacted_thinking")  # parts of another vendor's model, which only that can read
_LONGEST_NAME = 128  # characters; Google takes 64 of a function's
_KINDS = mimetypes.MimeTypes()  # Python's own table, and not the machine's
_DATA = "data:"


def from_chat(asked: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A GenerateContentRequest, but for its model. Fields that Gemini's API has nothing like are not looked at: whoever
    calls has refused or dropped them.

    Args:
        asked: in OpenAI's shape.
        model: the one that gets it; they differ in how they are told to think.

    Raises:
        Untranslatable: a part, a message or a tool that it has nothing like.
    """
    newer = _NEWER.search(model) is not None
    document: dict[str, Any] = {}
    told = [message for message in asked["messages"] if message["role"] in ("system", "developer")]
    if system := [part for message in told for part in _parts(message["content"])]:
        document["systemInstruction"] = {"parts": system}
    document["contents"] = list(_contents(asked["messages"], newer))
    if tools := asked.get("tools"):
        document["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in tools]}]
        if asked.get("tool_choice") is not None:
            document["toolConfig"] = {"functionCallingConfig": _calling(asked["tool_choice"])}
    config = {own: asked[name] for name, own in _NUMBERS.items() if asked.get(name) is not None}
    if caps := [cap for cap in map(asked.get, _CAPS) if cap is not None]:
        config["maxOutputTokens"] = min(caps)
    if stop := asked.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    config |= _form(asked.get("response_format") or {})
    if thinking := _thinking(asked, model, newer):
        config["thinkingConfig"] = thinking
    return {**document, "generationConfig": config} if config else document


def _contents(messages: Iterable[Mapping[str, Any]], newer: bool) -> Iterator[dict[str, Any]]:
    """The turns: what one side says in several messages is one, but results of tools stand alone."""
    said = [(side, parts) for side, parts in _said(messages, newer) if parts]
    for side, messages_of_it in groupby(said, key=lambda one: one[0]):
        parts = [part for _, own in messages_of_it for part in own]
        first = next((part for part in parts if "functionCall" in part), None)
        if newer and first is not None:
            first.setdefault("thoughtSignature", _UNSIGNED)
        yield {"role": "model" if side == "assistant" else "user", "parts": parts}


def _said(messages: Iterable[Mapping[str, Any]], newer: bool) -> Iterator[tuple[str, list[Part]]]:
    """Who says what. Files among the results of tools are the user's, behind all of them, where a model knows none."""
    names: dict[str, str] = {}  # of the functions, by the ids of their calls
    shown: list[Part] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            continue
        if role == "tool":
            result, files = _result(message, names, newer)
            shown += files
            yield role, [{"functionResponse": result}]
            continue
        yield "user", shown
        shown = []
        if role == "function":
            raise Untranslatable("messages", "a message of role 'function'; send tools")
        calls = [_call(call) for call in message.get("tool_calls") or ()]
        names |= {call["functionCall"]["id"]: call["functionCall"]["name"] for call in calls}
        refusal = [{"text": message["refusal"]}] if message.get("refusal") else []
        yield role, [*_parts(message.get("content")), *refusal, *calls]
    yield "user", shown


def _parts(content: Any) -> list[Part]:
    """Without texts that say nothing, which Gemini refuses."""
    given = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    parts = [_part(part) for part in given if part["type"] not in _THOUGHTS]
    return [part for part in parts if part.get("text") != ""]


def _part(part: Mapping[str, Any]) -> Part:
    kind = part["type"]
    if kind in ("text", "refusal"):
        return {"text": part[kind]}
    if kind == "image_url":
        given = part["image_url"]
        return _file(given["url"] if isinstance(given, Mapping) else given)
    if kind == "input_audio":
        audio = part["input_audio"]
        return {"inlineData": {"mimeType": f"audio/{audio['format']}", "data": audio["data"]}}
    if kind == "file":
        data = part["file"].get("file_data")
        if not isinstance(data, str):
            raise Untranslatable("messages", "a file by its id")
        return _file(data)
    raise Untranslatable("messages", f"a part of type {kind[:64]!r}")


def _file(url: str) -> Part:
    if url.startswith(_DATA):
        head, _, data = url.removeprefix(_DATA).partition(",")
        kind: str | None = head.partition(";")[0]
        if head.endswith(";base64"):
            return {"inlineData": {"mimeType": kind, "data": data}}
        if kind == "text/plain":
            return {"text": data}
        raise Untranslatable("messages", "a data URL that is not in base64")
    path = re.split("[?#]", url.partition("://")[2], maxsplit=1)[0].partition("/")[2]
    kind, _ = _KINDS.guess_type(path, strict=False)
    if kind is None:
        raise Untranslatable("messages", "an address that does not end as files of a known type do")
    return {"fileData": {"fileUri": url, "mimeType": kind}}


def _call(call: Mapping[str, Any]) -> Part:
    if call.get("type", "function") != "function":
        raise Untranslatable("messages", f"a call of type {str(call['type'])[:64]!r}")
    given = _object(call["function"]["arguments"] or "{}")
    if given is None:
        raise Untranslatable("messages", "a call whose arguments are no JSON object")
    name = call["function"]["name"]
    if len(name) > _LONGEST_NAME:  # it stands in each result of the call once more
        raise Untranslatable("messages", f"a function's name of more than {_LONGEST_NAME} characters")
    part: Part = {"functionCall": {"id": call["id"], "name": name, "args": given}}
    google = extra.get("google") if isinstance(extra := call.get("extra_content"), Mapping) else None
    signature = google.get("thought_signature") if isinstance(google, Mapping) else None
    return {**part, "thoughtSignature": signature} if isinstance(signature, str) and signature else part


def _result(message: Mapping[str, Any], names: Mapping[str, str], newer: bool) -> tuple[Part, list[Part]]:
    """A tool's result, and the files that cannot stand in it."""
    name = names.get(message["tool_call_id"])
    if name is None:
        raise Untranslatable("messages", "a tool's result without the call that it answers before it")
    parts = _parts(message.get("content"))
    text = "".join(part["text"] for part in parts if "text" in part)
    told = text if (given := _object(text)) is None else given
    if message.get("is_error"):
        told = {"error": told}
    result = {"id": message["tool_call_id"], "name": name, "response": {"result": told} if told is text else told}
    files = [part for part in parts if "text" not in part]
    return (result | {"parts": files}, []) if newer and files else (result, files)


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, if it is one."""
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return given if isinstance(given, dict) else None


def _declaration(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool["type"] != "function":
        raise Untranslatable("tools", f"a tool of type {str(tool['type'])[:64]!r}")
    function = tool["function"]
    told = {"name": function["name"], "description": function.get("description")}
    told["parametersJsonSchema"] = function.get("parameters") or None
    return {name: value for name, value in told.items() if value is not None}


def _calling(choice: Any) -> dict[str, Any]:
    if isinstance(choice, str):
        return {"mode": _MODES[choice]}
    if choice.get("type") != "function":
        raise Untranslatable("tool_choice", f"a choice of type {str(choice.get('type'))[:64]!r}")
    return {"mode": "ANY", "allowedFunctionNames": [choice["function"]["name"]]}


def _form(wanted: Mapping[str, Any]) -> dict[str, Any]:
    if wanted.get("type") not in ("json_object", "json_schema"):
        return {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    return {"responseMimeType": "application/json"} | ({"responseJsonSchema": schema} if schema else {})


def _thinking(asked: Mapping[str, Any], model: str, newer: bool) -> dict[str, Any] | None:
    """How much to think, and whether to show it: to whom asked for it."""
    own, effort = asked.get("thinking"), asked.get("reasoning_effort")
    if own is not None:
        effort = "none" if own.get("type") == "disabled" else None
    elif effort is None:
        return None
    budget = own.get("budget_tokens") if own else None
    if budget is not None and type(budget) is not int:
        raise Untranslatable("thinking", "a budget that is no whole number")
    told: dict[str, Any] = {} if effort == "none" else {"includeThoughts": True}
    if budget is not None:
        told["thinkingBudget"] = budget
    elif newer and effort in _LEVELS:
        level = _LEVELS[effort]
        told["thinkingLevel"] = "LOW" if level == "MINIMAL" and "pro" in model else level  # the least that it has
    elif effort in _BUDGETS:
        told["thinkingBudget"] = _BUDGETS[effort]
    return told
