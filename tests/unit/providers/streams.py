"""A vendor's stream in pieces: what a fake upstream sends, and the provider that reads it."""

from __future__ import annotations

import json
from typing import Any

from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings, Secret, Timeouts
from gateway.model import ModelRequest
from gateway.providers.base import Call
from gateway.providers.fitting import fitted
from gateway.providers.openai import OpenAIProvider
from gateway.providers.openai_stream import OpenAIStream
from tests.fakes.upstream import Upstream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: up-1\r\ntransfer-encoding: chunked\r\n\r\n"
ASKED = {"messages": [{"role": "user", "content": "Hi"}]}
REQUEST = ModelRequest("chat", None, ASKED, stream=True)
CALL = Call("call-1", 1)
DONE, END = b"data: [DONE]\n\n", b"0\r\n\r\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def event(delta: Any = None, **rest: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": None}] if delta is not None else []
    return b"data: " + json.dumps({"choices": choices, **rest}, ensure_ascii=False).encode() + b"\n\n"


HELLO = [event({"role": "assistant", "content": "Hé"}), event({"content": "llo"})]
WHOLE = b"".join(HELLO) + event(usage=USAGE)


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def provider(upstream: Upstream, kind: str = "openai", **timeouts: float) -> OpenAIProvider:
    settings = ProviderSettings("up", kind, upstream.base_url, (Secret("sk-secret-1"),), timeouts=Timeouts(**timeouts))
    return OpenAIProvider(settings, Redactor(settings.secrets()))


def stream(upstream: Upstream, request: ModelRequest = REQUEST, **kind: Any) -> OpenAIStream:
    asked = provider(upstream, **kind)
    fit, _ = fitted(request, asked, "gpt-4o-mini", refuse_hints=False, lenient=False)
    return asked.stream(fit, "gpt-4o-mini", CALL)
