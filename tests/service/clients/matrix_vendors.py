"""Three fake vendors behind one gateway, and what each told it: the measure of what clients see and are billed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest

from tests.fakes import (
    anthropic_answers,
    anthropic_vendor,
    gemini_answers,
    gemini_vendor,
    openai_answers,
    openai_vendor,
    responses_answers,
)
from tests.fakes.openai_vendor import Received
from tests.service.clients.matrix_clients import Tokens

_NANO = Decimal("1e-9")
PRICES = {  # USD per million tokens; no two alike, so that none stands for another
    "openai": {"input": "0.15", "cached_input": "0.075", "output": "0.61"},
    "anthropic": {
        "input": "1.03",
        "cached_input": "0.1",
        "cache_write": "1.27",
        "cache_write_1h": "2.09",
        "output": "5.17",
    },
    "gemini": {"input": "0.31", "cached_input": "0.029", "output": "2.53"},
}
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5", "gemini": "gemini-3-flash-preview"}
KEYS = {
    "openai": openai_vendor.PROVIDER_KEY,
    "anthropic": anthropic_vendor.PROVIDER_KEY,
    "gemini": gemini_vendor.PROVIDER_KEY,
}
MAKERS: dict[str, Callable[..., Any]] = {
    "openai": openai_vendor.OpenAIVendor,
    "anthropic": anthropic_vendor.AnthropicVendor,
    "gemini": gemini_vendor.GeminiVendor,
}


@dataclass
class Told:
    """What a vendor answered.

    Attributes:
        lasting: tokens of those that were written into its cache, for an hour.
    """

    text: str
    tokens: Tokens
    refusal: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    lasting: int = 0


def configuration(addresses: dict[str, str]) -> str:
    """A gateway.yaml with a model of each vendor's name.

    Args:
        addresses: of the vendors, by name.
    """
    providers = {name: {"kind": name, "base_url": url, "api_key": KEYS[name]} for name, url in addresses.items()}
    models = {
        name: {"targets": [{"provider": name, "model": MODELS[name]}], "price": PRICES[name]} for name in addresses
    }
    more = {"retry": {"attempts": 1}, "breaker": {"failures": 1_000_000}}
    return json.dumps({"providers": providers, "models": models, **more})


def cost(vendor: str, answer: Told) -> Decimal:
    """What a call costs in USD, rounded up to whole nano-USD."""
    tokens = answer.tokens
    counts = {
        "input": tokens.prompt - tokens.cached - tokens.written,
        "cached_input": tokens.cached,
        "cache_write": tokens.written - answer.lasting,
        "cache_write_1h": answer.lasting,
        "output": tokens.completion,
    }
    whole = sum((count * Decimal(PRICES[vendor][kind]) for kind, count in counts.items() if count), Decimal(0))
    return (whole / 1_000_000).quantize(_NANO, ROUND_CEILING)


def told(vendor: str, request: Received, number: int, known: set[str]) -> Told:
    """What a vendor answered to the `number`th request that it received; `known` is what its prompt cache held then."""
    body = json.loads(request.body)
    if vendor == "anthropic":
        return _by_anthropic(anthropic_answers.answer(body, number, known))
    if vendor == "gemini":
        return _by_gemini(gemini_answers.answer(MODELS[vendor], body, number))
    if request.path == "/v1/responses":
        return _by_responses(responses_answers.answer(body, number))
    return _by_openai(openai_answers.answer(request.path, body, number))


def _by_anthropic(whole: dict[str, Any]) -> Told:
    usage, content = whole["usage"], whole["content"]
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    thought = usage["output_tokens_details"]["thinking_tokens"]
    return Told(
        "".join(block["text"] for block in content if block["type"] == "text"),
        Tokens(usage["input_tokens"] + read + written, usage["output_tokens"], read, thought, written),
        calls=[(block["name"], block["input"]) for block in content if block["type"] == "tool_use"],
        lasting=usage["cache_creation"]["ephemeral_1h_input_tokens"],
    )


def _by_gemini(whole: dict[str, Any]) -> Told:
    usage = whole["usageMetadata"]
    parts = [part for one in whole.get("candidates", ()) for part in one.get("content", {}).get("parts", ())]
    thought = usage.get("thoughtsTokenCount", 0)
    spoken, cached = usage.get("candidatesTokenCount", 0), usage.get("cachedContentTokenCount", 0)
    return Told(
        "".join(part["text"] for part in parts if "text" in part and not part.get("thought")),
        Tokens(usage["promptTokenCount"], spoken + thought, cached, thought),
        calls=[
            (part["functionCall"]["name"], part["functionCall"]["args"]) for part in parts if "functionCall" in part
        ],
    )


def _by_responses(whole: dict[str, Any]) -> Told:
    usage, output = whole["usage"], whole["output"]
    said = [part for item in output for part in item.get("content", ())]
    cached = usage["input_tokens_details"]["cached_tokens"]
    thought = usage["output_tokens_details"]["reasoning_tokens"]
    return Told(
        "".join(part.get("text", "") for part in said),
        Tokens(usage["input_tokens"], usage["output_tokens"], cached, thought),
        "".join(part.get("refusal", "") for part in said),
        [(item["name"], json.loads(item["arguments"])) for item in output if item["type"] == "function_call"],
    )


def _by_openai(whole: dict[str, Any]) -> Told:
    usage, message = whole["usage"], whole["choices"][0]["message"]
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    return Told(
        message["content"] or "",
        Tokens(usage["prompt_tokens"], usage["completion_tokens"], cached, thought),
        message["refusal"] or "",
        [(function["name"], json.loads(function["arguments"])) for function in functions],
    )


def let_chats_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the fake OpenAI refuse in chats what it refuses in responses."""
    whole, streamed = openai_answers.answer, openai_answers.events

    def refusing(message: dict[str, Any]) -> dict[str, Any]:
        return {**message, "content": None, "refusal": message["content"]} if message.get("content") else message

    def answer(path: str, body: dict[str, Any], number: int) -> dict[str, Any]:
        (choice,) = (found := whole(path, body, number))["choices"]
        return {**found, "choices": [{**choice, "message": refusing(choice["message"])}]}

    def events(path: str, body: dict[str, Any], number: int) -> Iterator[str]:
        for data in streamed(path, body, number):
            chunk = {"choices": []} if data == openai_answers.DONE else json.loads(data)
            told = [{**choice, "delta": refusing(choice["delta"])} for choice in chunk["choices"]]
            yield json.dumps({**chunk, "choices": told}) if told else data

    monkeypatch.setattr(openai_answers, "answer", answer)
    monkeypatch.setattr(openai_answers, "events", events)
