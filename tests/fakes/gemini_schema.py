"""Google's published request schema, as the official SDK has it, and the rules that its documentation adds.

Rules: https://ai.google.dev/gemini-api/docs/function-calling, …/thinking, …/thought-signatures, …/structured-output and
…/embeddings. What of several texts is embedded at once: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents.
"""

from __future__ import annotations

import json
import re
import threading
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from google.genai import types
from google.genai._common import BaseModel
from pydantic import ValidationError

_ROLES = ("user", "model")
_DATA = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}  # of which a part has one
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_ELSEWHERE = re.compile(r"not\s+supported\s+in\s+(?:the\s+)?Gemini\s+API")  # but in Vertex
_NEWER = re.compile(r"gemini-[3-9]")
_JSON = "application/json"
_MOST_AT_ONCE = 100  # texts to embed
DIMENSIONS = 3072  # of an embedding, at most
_warned = threading.Lock()


class GenerateContentRequest(BaseModel):
    """A body; the SDK itself has no type for the whole of it."""

    contents: list[types.Content]
    system_instruction: types.Content | None = None
    tools: list[types.Tool] | None = None
    tool_config: types.ToolConfig | None = None
    safety_settings: list[types.SafetySetting] | None = None
    generation_config: types.GenerationConfig | None = None
    cached_content: str | None = None


class CountedRequest(GenerateContentRequest):
    """One whose tokens are counted, where it has to say of which model it is."""

    model: str


class CountTokensRequest(BaseModel):
    """A body that asks for a count: the SDK sends only what is said, who wants all of a prompt counted sends that."""

    contents: list[types.Content] | None = None
    generate_content_request: CountedRequest | None = None


class EmbedContentRequest(BaseModel):
    """A text to embed, with what the SDK's configuration has that is not Vertex' alone."""

    model: str
    content: types.Content
    task_type: str | None = None
    title: str | None = None
    output_dimensionality: int | None = None


class BatchEmbedContentsRequest(BaseModel):
    """A body with texts to embed."""

    requests: list[EmbedContentRequest]


GENERATE, COUNT, EMBED = "generateContent", "countTokens", "batchEmbedContents"
METHODS: dict[str, type[BaseModel]] = {
    GENERATE: GenerateContentRequest,
    "streamGenerateContent?alt=sse": GenerateContentRequest,
    COUNT: CountTokensRequest,
    EMBED: BatchEmbedContentsRequest,
}


def read(raw: bytes, method: str = GENERATE) -> dict[str, Any]:
    """A body that fits, in the names that Google's documentation uses; its servers take others too, which the SDK
    sends."""
    return METHODS[method].model_validate_json(raw).model_dump(mode="json", by_alias=True, exclude_unset=True)


def misfits(model: str, raw: bytes, exactly: bool = True, method: str = GENERATE) -> list[str]:
    """What is wrong with a request of `model`; `exactly` as documented, or as Google's servers understand it too."""
    try:
        with _warned, warnings.catch_warnings():
            warnings.simplefilter("error")  # the SDK only warns of a word that an enumeration does not have
            request = METHODS[method].model_validate_json(raw)
    except ValidationError as error:
        return [f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors()]
    except UserWarning as warning:
        return [str(warning)]
    body = read(raw, method)
    found = [*(_differences(json.loads(raw), body) if exactly else ()), *_elsewhere(request)]
    rules = {COUNT: (_count,), EMBED: (_embeddings,)}.get(method, _GENERATED)
    return found or [complaint for rule in rules for complaint in rule(model, body)]


def _differences(raw: Any, read: Any, at: str = "") -> Iterator[str]:
    """Where a body is not what the schema makes of it: names, types and words that are only nearly right."""
    if isinstance(raw, dict) and isinstance(read, dict):
        for name in sorted(raw.keys() | read.keys()):
            if name in raw and name in read:
                yield from _differences(raw[name], read[name], f"{at}.{name}")
            elif raw.get(name, read.get(name)) is not None:
                yield f"{at}.{name}: is not spelt so"
    elif isinstance(raw, list) and isinstance(read, list):
        for number, (one, other) in enumerate(zip(raw, read, strict=True)):
            yield from _differences(one, other, f"{at}.{number}")
    elif isinstance(raw, str) and isinstance(read, str):
        if raw.translate(_URL_SAFE).rstrip("=") != read.translate(_URL_SAFE).rstrip("="):
            yield f"{at}: {raw!r} is not written so"
    elif raw != read or isinstance(raw, bool) != isinstance(read, bool):
        yield f"{at}: {raw!r} is of another type"


_URL_SAFE = str.maketrans("+/", "-_")  # base64 may be written either way


def _elsewhere(of: Any) -> Iterator[str]:
    """Fields that only Vertex takes."""
    if isinstance(of, list):
        for entry in of:
            yield from _elsewhere(entry)
    elif isinstance(of, BaseModel):
        for name in of.model_fields_set:
            if _ELSEWHERE.search(type(of).model_fields[name].description or ""):
                yield f"{name} is not supported in the Gemini API"
            yield from _elsewhere(getattr(of, name))


def _contents(model: str, body: dict[str, Any]) -> Iterator[str]:
    if not body["contents"]:
        yield "contents is not specified"
    for number, content in enumerate([*body["contents"], body.get("systemInstruction") or {"parts": [{"text": "-"}]}]):
        at = f"contents[{number}]"
        if content.get("role", "user") not in _ROLES:
            yield f"{at}.role: Please use a valid role: user, model."
        if not content.get("parts"):
            yield f"{at}.parts must not be empty"
        for part in content.get("parts") or ():
            if len(_DATA & part.keys()) != 1 or part.get("text") == "":
                yield f"{at}: a part must have exactly one of the data fields, and it must not be empty"
            if not all(
                part.get("fileData", part.get("inlineData", {"mimeType": "any"})).get("mimeType", "").split("/")
            ):
                yield f"{at}: a file without mimeType"


def _calls(model: str, body: dict[str, Any]) -> Iterator[str]:
    """Calls are answered in the turn after them, all of them, and nothing else is said in it."""
    turns = body["contents"]
    for before, after in pairwise([{"parts": []}, *turns, {"parts": []}]):
        made, answers = _all("functionCall", before), _all("functionResponse", after)
        if (made or answers) and (len(made) != len(answers) and after in turns):
            yield "the number of function response parts has to be that of the function call parts of the turn before"
        if answers and len(answers) != len(after["parts"]):
            yield "a function response turn has nothing else in it"
        if {call["name"] for call in made} != {told.get("name") for told in answers} and answers:
            yield "a function response whose name is not that of a call"
        if _all("functionCall", after) and before.get("role", "user") != "user":
            yield "a function call turn comes immediately after a user turn or after a function response turn"
    asked = max(
        (
            at
            for at, turn in enumerate(turns)
            if turn.get("role", "user") == "user" and not _all("functionResponse", turn)
        ),
        default=0,
    )
    for number, turn in enumerate(turns):
        if _all("functionResponse" if turn.get("role") == "model" else "functionCall", turn):
            yield f"content with role {turn.get('role')!r} can't contain such a part"
        if any(not isinstance(told.get("response"), dict) for told in _all("functionResponse", turn)):
            yield "a function response without a response"
        calls = [part for part in turn["parts"] if "functionCall" in part]
        if _NEWER.match(model) and number > asked and calls and "thoughtSignature" not in calls[0]:
            yield f"Function call in the {number}. content block is missing a thought_signature"


def _all(kind: str, turn: dict[str, Any]) -> list[dict[str, Any]]:
    return [part[kind] for part in turn["parts"] if kind in part]


def _tools(model: str, body: dict[str, Any]) -> Iterator[str]:
    told = [one for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()]
    for one in told:
        if not _NAME.fullmatch(one.get("name", "")):
            yield f"Invalid function name {one.get('name')!r}"
        if {"parameters", "parametersJsonSchema"} <= one.keys():
            yield "parameters and parametersJsonSchema are mutually exclusive"
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if calling and not told:
        yield "Function calling config is set without function_declarations."
    if "allowedFunctionNames" in calling:
        if calling.get("mode") not in ("ANY", "VALIDATED"):
            yield "allowed_function_names is only for mode ANY"
        if not set(calling["allowedFunctionNames"]) <= {one.get("name") for one in told}:
            yield "allowed_function_names has a function that is not declared"


def _config(model: str, body: dict[str, Any]) -> Iterator[str]:
    config = body.get("generationConfig") or {}
    schemas = {"responseSchema", "responseJsonSchema"} & config.keys()
    if len(schemas) > 1:
        yield "response_schema and response_json_schema are mutually exclusive"
    if schemas and config.get("responseMimeType") != _JSON:
        yield "a response schema needs the response mime type application/json"
    thinking = config.get("thinkingConfig") or {}
    if {"thinkingBudget", "thinkingLevel"} <= thinking.keys():
        yield "You can only set only one of thinking budget and thinking level."
    if "thinkingLevel" in thinking and not _NEWER.match(model):
        yield "Thinking level is not supported for this model."
    if thinking.get("thinkingLevel") == "MINIMAL" and "pro" in model:
        yield "Thinking level MINIMAL is not supported for this model."
    if not 1 <= config.get("candidateCount", 1) <= 8:
        yield "candidate_count has to be from 1 to 8"
    if config.get("maxOutputTokens", 1) < 1:
        yield "max_output_tokens must be positive"


_GENERATED = _contents, _calls, _tools, _config


def _count(model: str, body: dict[str, Any]) -> Iterator[str]:
    whole = body.get("generateContentRequest")
    if (whole is None) == ("contents" not in body):
        yield "one of contents and generateContentRequest has to be given"
        return
    if whole and whole["model"] != f"models/{model}":
        yield f"generateContentRequest.model is {whole['model']!r}, and that of the path {model!r}"
    for rule in _GENERATED:
        yield from rule(model, whole or body)


def _embeddings(model: str, body: dict[str, Any]) -> Iterator[str]:
    requests = body["requests"]
    if not 1 <= len(requests) <= _MOST_AT_ONCE:
        yield f"at most {_MOST_AT_ONCE} requests can be in one batch, and at least one"
    for number, request in enumerate(requests):
        at = f"requests[{number}]"
        if request["model"] != f"models/{model}":
            yield f"{at}.model is {request['model']!r}, and that of the path {model!r}"
        if not 1 <= request.get("outputDimensionality", 1) <= DIMENSIONS:
            yield f"{at}.output_dimensionality has to be from 1 to {DIMENSIONS}"
        if "title" in request and request.get("taskType") != "RETRIEVAL_DOCUMENT":
            yield f"{at}.title is only for the task type RETRIEVAL_DOCUMENT"
        parts = request["content"].get("parts") or [{}]
        if not all(_DATA & part.keys() and part.get("text") != "" for part in parts):
            yield f"{at}.content contains an empty part"
