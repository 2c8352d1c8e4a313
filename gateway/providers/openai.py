"""Any vendor that speaks OpenAI's chat API; what differs between them is a data row."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.config.vendors import VENDORS
from gateway.errors import GatewayError, ProviderRefused, UpstreamError
from gateway.model import ChatRequest, Completion, Usage
from gateway.providers.base import Call, Report, failure
from gateway.providers.connection import Deadlines
from gateway.providers.http import Reply, Transport

# OpenAI's reasoning models answer 400 to `max_tokens`.
_REASONING_MODEL = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")

_REQUEST_ID_HEADERS = (
    "x-request-id", "request-id", "mistral-correlation-id", "apim-request-id", "x-ds-trace-id", "x-amzn-requestid",
    "inference-id", "nvcf-reqid", "x-generation-id",
)  # fmt: skip
_REQUEST_ID = re.compile(r"[!-~]{1,256}")

CHECK_SECONDS = 10
MOST_CONTAINERS = 500_000  # of an answer, each some 60 bytes of memory; counted in its text too, which has fewer
MOST_VALUES = 2_000_000
_MOST_TOKENS = 1_000_000_000  # more in one call is not credible


class OpenAIProvider:
    """A provider of chat completions.

    Args:
        settings: the configured provider.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.name
        self._vendor = VENDORS[settings.kind]
        self._timeouts = settings.timeouts
        self._redactor = Redactor(settings.secrets())
        self._chat = Transport(settings, "/chat/completions")
        self._models = Transport(settings, "/models", "GET")

    def check(self, models: Collection[str]) -> Report:
        deadlines = Deadlines(self._timeouts.connect, time.monotonic() + CHECK_SECONDS)
        reply = self._models.send(b"", {}, deadlines)
        body = reply.read()
        if reply.status == 404:
            return Report("answers, but has no list of models; if calls fail too, its base_url may lack '/v1'")
        if not 200 <= reply.status < 300:
            raise failure(self.name, reply.status, body)
        return Report("answers", _listed(body))

    def complete(self, request: ChatRequest, model: str, call: Call) -> Completion:
        until = time.monotonic() + self._timeouts.total
        deadlines = Deadlines(self._timeouts.connect, until if call.deadline is None else min(until, call.deadline))
        headers = {"x-request-id": call.id, "x-gateway-attempt": str(call.attempt)}
        reply = self._chat.send(self._body(request, model), headers, deadlines)
        body = reply.read()
        if not 200 <= reply.status < 300:
            raise self._failure(reply, body)
        return self._completion(body, self._request_id(reply.headers))

    def _body(self, request: ChatRequest, model: str) -> bytes:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        }
        if request.max_tokens is not None:
            cap = self._vendor.output_cap
            by_name = "max_completion_tokens" if _REASONING_MODEL.search(model) else "max_tokens"
            body[cap or by_name] = request.max_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        return orjson.dumps(body)

    def _failure(self, reply: Reply, body: bytes) -> GatewayError:
        error = failure(self.name, reply.status, body, reply.headers.get("retry-after"))
        if isinstance(error, ProviderRefused) and self._quotes_a_credential(body):
            detail = f"status {reply.status}, its text quotes a credential of the gateway's"
            return UpstreamError(f"The provider {self.name!r} answered {reply.status}.", detail=detail)
        return error

    def _quotes_a_credential(self, body: bytes) -> bool:
        """Whether the JSON `body` would tell a client one of our credentials, however it is escaped."""
        try:
            unescaped = orjson.dumps(orjson.loads(body))
        except orjson.JSONEncodeError:
            return True  # nested deeper than it can be looked into
        return any(self._redactor.finds(form.decode()) for form in (body, unescaped))

    def _request_id(self, headers: Mapping[str, str]) -> str | None:
        for name in _REQUEST_ID_HEADERS:
            value = headers.get(name, "")
            if _REQUEST_ID.fullmatch(value) and not self._redactor.finds(value):
                return value
        return None

    def _completion(self, body: bytes, request_id: str | None) -> Completion:
        try:
            if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS or body.count(b",") > MOST_VALUES:
                raise ValueError("more parts than any answer has")
            answer = orjson.loads(body)
            choice = answer["choices"][0]
            text = _text(choice["message"].get("content"))
            finish_reason = choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UpstreamError(f"The provider {self.name!r} sent an answer that cannot be understood.") from error
        return Completion(
            text=text,
            finish_reason=finish_reason if isinstance(finish_reason, str) and len(finish_reason) <= 64 else None,
            usage=read_usage(answer.get("usage"), self._vendor.reasoning_beside),
            upstream_request_id=request_id,
        )


def read_usage(reported: Any, reasoning_beside: bool = False) -> Usage | None:
    """Make a vendor's `usage` object ours, or None where it is missing or not credible.

    Args:
        reported: the object as it came: OpenAI's shape, DeepSeek's `prompt_cache_hit_tokens`, Together's
            `cached_tokens` beside it.
        reasoning_beside: `completion_tokens` leave out reasoning; `total_tokens` has it.
    """
    if not isinstance(reported, dict):
        return None
    prompt, completion = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
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


def _count(where: Any, name: str) -> int | None:
    value = where.get(name) if isinstance(where, dict) else None
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _text(content: Any) -> str:
    """An answer's text; some vendors send it in parts. A refusal or a tool call has none."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    if content is not None and not isinstance(content, str):
        raise TypeError("content is neither text nor parts")
    return content or ""


def _listed(body: bytes) -> frozenset[str] | None:
    """The ids in a list of models, which Together sends without the object around it."""
    try:
        answer = orjson.loads(body)
        entries = answer["data"] if isinstance(answer, dict) else answer
        return frozenset(entry["id"] for entry in entries)
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None
