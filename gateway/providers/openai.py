"""Any vendor that speaks OpenAI's API; what differs between them is a data row."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

from gateway.concurrency import in_turn
from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.model import Completion, ModelRequest, Operation
from gateway.providers.base import Call, Translation
from gateway.providers.http import Reply
from gateway.providers.openai_stream import OpenAIStream
from gateway.providers.responses_stream import ResponsesStream
from gateway.providers.stream import Arriving, VendorStream
from gateway.providers.vendor import HttpProvider
from gateway.wire import openai
from gateway.wire.dialects import read_whole
from gateway.wire.edit import appended, edited
from gateway.wire.openai_requests import from_chat
from gateway.wire.responses_requests import without_foreign
from gateway.wire.transcript import Transcript

# OpenAI's reasoning models answer 400 to `max_tokens`.
_REASONING_MODEL = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")
_PATHS: dict[Operation, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}
_RESPONSES = "/responses"


class OpenAIProvider(HttpProvider):
    """A provider of chat completions, completions and embeddings, and of responses where its row says so; takes what
    `HttpProvider` does, but for the paths."""

    operations = frozenset(_PATHS)

    def __init__(self, settings: ProviderSettings, redactor: Redactor) -> None:
        super().__init__(settings, redactor, *_PATHS.values(), _RESPONSES)
        self.dialects = frozenset({"openai", "responses"} if self.vendor.responses else {"openai"})

    def ask(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        path = _RESPONSES if self._takes_as_response(request) else _PATHS[request.operation]
        owned = {} if request.is_translated else {"model": model, **self._delivery(request)}
        if call.cap is not None:
            owned |= self._caps(request, model, call.cap)
        body = request.body or b"{}"
        if path == _RESPONSES:
            body = without_foreign(body)
        body = in_turn(len(body), lambda: edited(body, owned))
        if request.stream and request.is_translated:
            body = appended(body, {"stream": True, **self._delivery(request)})
        return self.send(path, body, request, call, first_by)

    def read(self, request: ModelRequest, model: str, body: bytes, its_id: str | None) -> Completion:
        if self._takes_as_response(request):
            return replace(read_whole("chat", body, "responses"), upstream_request_id=its_id)
        return openai.read_whole(request.operation, body, self.vendor.reasoning_beside, its_id)

    def stream_of(self, request: ModelRequest, model: str, arriving: Arriving) -> VendorStream:
        if self._takes_as_response(request):
            return ResponsesStream(arriving)
        return OpenAIStream(arriving, Transcript(request.operation, self.vendor.reasoning_beside))

    def most_characters(self, request: ModelRequest, cap: int | None) -> float:
        """No bound where what is shown may have more than is capped: reasoning beside it, or the prompt once more."""
        if request.operation != "chat" or self.vendor.reasoning_beside:
            return math.inf
        return super().most_characters(request, cap)

    def _takes_as_response(self, request: ModelRequest) -> bool:
        return request.dialect == "responses" and "responses" in self.dialects

    def translate(self, request: ModelRequest, model: str) -> Translation:
        asked = from_chat(request.asked, self._cap_of(model)) if request.operation == "chat" else request.asked
        return Translation({"model": model, **asked})

    def _delivery(self, request: ModelRequest) -> dict[str, Any]:
        """How a stream of chunks is to end: with its usage."""
        if not (request.stream and self.vendor.usage_option) or self._takes_as_response(request):
            return {}
        return {"stream_options": {**request.stream_options, "include_usage": True}}

    def _caps(self, request: ModelRequest, model: str, most: int) -> dict[str, int | None]:
        """The fields that cap an answer, none above `most`. A vendor need not know the name that the client used."""
        if self._takes_as_response(request):
            return {"max_output_tokens": request.capped(most)}
        own = {(self._cap_of(model) if request.operation == "chat" else "max_tokens"): request.capped(most)}
        if request.is_translated or not request.caps:
            return own
        caps: dict[str, int | None] = {name: min(given, most) for name, given in request.caps.items()}
        return caps | own if self.vendor.output_cap else caps

    def _cap_of(self, model: str) -> str:
        by_name = "max_completion_tokens" if _REASONING_MODEL.search(model) else "max_tokens"
        return self.vendor.output_cap or by_name
