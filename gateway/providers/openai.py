"""Any vendor that speaks OpenAI's API; what differs between them is a data row."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import orjson

from gateway.concurrency import in_turn
from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.model import Completion, ModelRequest, Operation
from gateway.providers.base import Call, Stream, no_answer
from gateway.providers.http import Reply, too_large
from gateway.providers.openai_stream import OpenAIStream
from gateway.providers.responses_stream import ResponsesStream
from gateway.providers.stream import VendorStream
from gateway.providers.vendor import LARGEST_UNSTREAMED, LONGEST_TOKEN, UNSTREAMED, HttpProvider
from gateway.wire import openai
from gateway.wire.dialects import read_whole
from gateway.wire.edit import edited
from gateway.wire.openai_requests import from_chat
from gateway.wire.replay import Replay
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

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        return self._whole(request, self._ask(request, model, call))

    def stream(self, request: ModelRequest, model: str, call: Call) -> Stream:
        first_by = time.monotonic() + self.timeouts.first_byte
        reply = self._ask(request, model, call, first_by)
        if reply.headers.get("content-type", "").startswith(UNSTREAMED):
            return Replay(self._whole(request, reply, LARGEST_UNSTREAMED))
        most, its_id = self._most_characters(request, call.cap), self.request_id(reply.headers)
        stream: VendorStream
        if self._takes_as_response(request):
            stream = ResponsesStream(self.name, reply, self.timeouts, most, its_id)
        else:
            transcript = Transcript(request.operation, self.vendor.reasoning_beside)
            stream = OpenAIStream(transcript, self.name, reply, self.timeouts, most, its_id)
        stream.open(first_by)
        return stream

    def _takes_as_response(self, request: ModelRequest) -> bool:
        return request.dialect == "responses" and "responses" in self.dialects

    def _ask(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        if self._takes_as_response(request):
            path, body = _RESPONSES, self._response_body(request, model, call.cap)
        else:
            path, body = _PATHS[request.operation], self._body(request, model, call.cap)
        return self.send(path, body, request, call, first_by)

    def _most_characters(self, request: ModelRequest, cap: int | None) -> float:
        """How many characters an answer has at most that keeps to its cap; no bound where what is shown may have more
        than is capped: reasoning beside it, or the prompt once more."""
        caps = [*request.caps.values(), *([cap] if cap else [])]
        if not caps or request.operation != "chat" or self.vendor.reasoning_beside:
            return math.inf
        return min(caps) * request.choices * LONGEST_TOKEN

    def _whole(self, request: ModelRequest, reply: Reply, most_bytes: int | None = None) -> Completion:
        body = reply.read(most_bytes)
        try:
            if self._takes_as_response(request):
                return self.told(request, read_whole("chat", body, "responses"), reply)
            return openai.read_whole(
                request.operation, body, self.vendor.reasoning_beside, self.request_id(reply.headers)
            )
        except openai.TooManyParts as error:
            raise too_large(self.name, str(error)) from error
        except ValueError as error:
            raise no_answer(self.name, body) from error

    def _body(self, request: ModelRequest, model: str, cap: int | None) -> bytes:
        """The request as it leaves: the client's own bytes where they are of this dialect, but for what we own."""
        owned: dict[str, Any] = {"model": model}
        if request.stream and self.vendor.usage_option:
            owned["stream_options"] = {**request.stream_options, "include_usage": True}
        by_name = "max_completion_tokens" if _REASONING_MODEL.search(model) else "max_tokens"
        own_cap = (self.vendor.output_cap or by_name) if request.operation == "chat" else "max_tokens"
        if cap is not None:
            owned |= {name: min(given, cap) for name, given in request.caps.items()}
            if not request.caps or self.vendor.output_cap:  # a vendor need not know the name that the client used
                owned[own_cap] = min([cap, *request.caps.values()])
        if (body := request.body) is not None:
            return in_turn(len(body), lambda: edited(body, owned))
        asked = request.asked if request.operation != "chat" else from_chat(request.asked, own_cap)
        asked = {**asked, **owned}
        if request.stream:
            asked["stream"] = True
        return orjson.dumps(asked)

    @staticmethod
    def _response_body(request: ModelRequest, model: str, cap: int | None) -> bytes:
        owned: dict[str, Any] = {"model": model}
        if cap is not None:
            owned["max_output_tokens"] = min([cap, *request.caps.values()])
        body = request.body or b"{}"
        return in_turn(len(body), lambda: edited(body, owned))
