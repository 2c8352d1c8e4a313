"""Anthropic's own API, and any server that speaks it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson

from gateway.concurrency import in_turn
from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.model import Completion, ModelRequest
from gateway.providers.anthropic_stream import AnthropicStream
from gateway.providers.base import Call, Translation, no_answer
from gateway.providers.http import Reply
from gateway.providers.stream import Arriving, VendorStream
from gateway.providers.vendor import LARGEST_UNSTREAMED, HttpProvider
from gateway.wire.anthropic_from_chat import from_chat
from gateway.wire.anthropic_requests import without_foreign
from gateway.wire.dialects import read_whole, translated
from gateway.wire.edit import appended, edited

_MESSAGES, _COUNT = "/messages", "/messages/count_tokens"
# Tokens of an answer where nobody says, which this API wants to be told: as many as every such model may give.
_MOST, _MOST_OF_NEWER = 4096, 32_000
_MOST_COUNTED = 1_000_000_000  # tokens; more in one prompt are not credible
_NEWER = re.compile(r"claude-[a-z]+-(?:[4-9]|\d\d)")  # the older ones have their number before the word


class AnthropicProvider(HttpProvider):
    """A provider of messages; takes what `HttpProvider` does, but for the paths."""

    dialects = frozenset({"anthropic"})

    def __init__(self, settings: ProviderSettings, redactor: Redactor) -> None:
        super().__init__(settings, redactor, _MESSAGES, _COUNT)

    def translate(self, request: ModelRequest, model: str) -> Translation:
        document = from_chat(request.asked, model, _MOST_OF_NEWER if _NEWER.search(model) else _MOST)
        if request.user_id:
            document["metadata"] = {"user_id": request.user_id}
        thinks = "thinking" in document or request.asked.get("reasoning_effort") in (None, "none")
        document = {"model": model, **document}
        return Translation(document, frozenset() if thinks else frozenset({"reasoning_effort"}))

    def ask(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        body = self._body(request, model, call.cap)
        return self.send(_MESSAGES, body, request, call, first_by, request.headers)

    def read(self, request: ModelRequest, model: str, body: bytes, its_id: str | None) -> Completion:
        found = replace(read_whole("chat", body, "anthropic"), upstream_request_id=its_id)
        return found if request.dialect in self.dialects else translated(found)

    def stream_of(self, request: ModelRequest, model: str, arriving: Arriving) -> VendorStream:
        return AnthropicStream(arriving, is_native=request.dialect in self.dialects)

    def count_tokens(self, request: ModelRequest, model: str, call: Call) -> int:
        body = self._body(request, model, None)
        reply = self.send(_COUNT, body, request, call, headers=request.headers)
        answer = reply.read(LARGEST_UNSTREAMED)
        try:
            return _counted(answer)
        except (ValueError, TypeError, LookupError) as error:
            raise no_answer(self.name, answer) from error

    def _body(self, request: ModelRequest, model: str, cap: int | None) -> bytes:
        body = request.body or b"{}"
        owned: dict[str, Any] = {} if request.is_translated else {"model": model}
        most = None if cap is None else request.capped(cap)
        if most is not None:
            owned["max_tokens"] = most
            if request.is_translated and _thinks_more(body, most):
                owned["thinking"] = {"type": "disabled"}
        body = in_turn(len(body), lambda: edited(without_foreign(body), owned))
        return appended(body, {"stream": True}) if request.stream and request.is_translated else body


def _counted(answer: bytes) -> int:
    """Raises ValueError, TypeError, LookupError where it is no credible number."""
    count = orjson.loads(answer)["input_tokens"]
    if type(count) is not int or not 0 <= count <= _MOST_COUNTED:
        raise ValueError("no credible number")
    return count


def _thinks_more(body: bytes, most: int) -> bool:
    """Whether a request asks for more thinking than an answer of `most` tokens may have, which is refused."""
    thinking = orjson.loads(body).get("thinking") or {}
    return bool(thinking.get("budget_tokens", 0) >= most)
