"""Anthropic's own API, and any server that speaks it."""

from __future__ import annotations

import re
import time
from typing import Any

import orjson

from gateway.concurrency import in_turn
from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.model import Completion, ModelRequest
from gateway.providers.anthropic_stream import AnthropicStream
from gateway.providers.base import Call, Stream, no_answer
from gateway.providers.fitting import translating
from gateway.providers.http import Reply, too_large
from gateway.providers.vendor import LARGEST_UNSTREAMED, LONGEST_TOKEN, UNSTREAMED, HttpProvider
from gateway.wire.anthropic_from_chat import from_chat
from gateway.wire.dialects import read_whole
from gateway.wire.edit import edited
from gateway.wire.openai import TooManyParts
from gateway.wire.replay import Replay

_MESSAGES, _COUNT = "/messages", "/messages/count_tokens"
# Tokens of an answer where nobody says, which this API wants to be told: as many as every such model may give.
_MOST, _MOST_OF_NEWER = 4096, 32_000
_NEWER = re.compile(r"claude-[a-z]+-(?:[4-9]|\d\d)")  # the older ones have their number before the word


class AnthropicProvider(HttpProvider):
    """A provider of messages; takes what `HttpProvider` does, but for the paths."""

    dialects = frozenset({"anthropic"})

    def __init__(self, settings: ProviderSettings, redactor: Redactor) -> None:
        super().__init__(settings, redactor, _MESSAGES, _COUNT)

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        return self._whole(request, self._ask(request, model, call))

    def stream(self, request: ModelRequest, model: str, call: Call) -> Stream:
        first_by = time.monotonic() + self.timeouts.first_byte
        reply = self._ask(request, model, call, first_by)
        if reply.headers.get("content-type", "").startswith(UNSTREAMED):
            return Replay(self._whole(request, reply, LARGEST_UNSTREAMED))
        most = min([*request.caps.values(), *([call.cap] if call.cap else [])], default=_MOST_OF_NEWER) * LONGEST_TOKEN
        is_native = request.dialect in self.dialects
        stream = AnthropicStream(is_native, self.name, reply, self.timeouts, most, self.request_id(reply.headers))
        stream.open(first_by)
        return stream

    def count_tokens(self, request: ModelRequest, model: str, call: Call) -> int:
        body = self._body(request, model, None)
        reply = self.send(_COUNT, body, request, call, headers=request.headers)
        answer = reply.read(LARGEST_UNSTREAMED)
        try:
            return int(orjson.loads(answer)["input_tokens"])
        except (ValueError, TypeError, LookupError) as error:
            raise no_answer(self.name, answer) from error

    def _ask(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        body = self._body(request, model, call.cap)
        return self.send(_MESSAGES, body, request, call, first_by, request.headers)

    def _body(self, request: ModelRequest, model: str, cap: int | None) -> bytes:
        owned: dict[str, Any] = {"model": model}
        if cap is not None:
            owned["max_tokens"] = min([cap, *request.caps.values()])
        if (body := request.body) is not None:
            return in_turn(len(body), lambda: edited(body, owned))
        with translating(request, self.name):
            most = _MOST_OF_NEWER if _NEWER.search(model) else _MOST
            document = {**from_chat(request.asked, model, cap or most), **owned}
        if request.user_id:
            document["metadata"] = {"user_id": request.user_id}
        if request.stream:
            document["stream"] = True
        return orjson.dumps(document)

    def _whole(self, request: ModelRequest, reply: Reply, most_bytes: int | None = None) -> Completion:
        body = reply.read(most_bytes)
        try:
            found = read_whole("chat", body, "anthropic")
        except TooManyParts as error:
            raise too_large(self.name, str(error)) from error
        except ValueError as error:
            raise no_answer(self.name, body) from error
        return self.told(request, found, reply)
