"""Any vendor that speaks OpenAI's API; what differs between them is a data row."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from gateway.concurrency import in_turn
from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.config.vendors import VENDORS
from gateway.errors import (
    AnswerTooLarge,
    GatewayError,
    ProviderFailed,
    ProviderRefused,
)
from gateway.model import Completion, ModelRequest, Operation
from gateway.providers.base import Call, Report, Stream, failure, no_answer
from gateway.providers.checking import MODELS, check
from gateway.providers.connection import Deadlines
from gateway.providers.http import Reply, Transport, too_large
from gateway.providers.openai_stream import OpenAIStream
from gateway.wire import openai, sse
from gateway.wire.edit import edited
from gateway.wire.replay import Replay
from gateway.wire.transcript import Transcript

# OpenAI's reasoning models answer 400 to `max_tokens`.
_REASONING_MODEL = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d))")

_REQUEST_ID_HEADERS = (
    "x-request-id", "request-id", "mistral-correlation-id", "apim-request-id", "x-ds-trace-id", "x-amzn-requestid",
    "inference-id", "nvcf-reqid", "x-generation-id",
)  # fmt: skip
_REQUEST_ID = re.compile(r"[!-~]{1,256}")

_PATHS: dict[Operation, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
}
_UNSTREAMED = "application/json", "text/html"  # some servers do not stream, and bill all the same; a page is none
_LARGEST_UNSTREAMED = 8_388_608  # bytes of a whole answer to who asked for a stream, which is made of it
_LARGEST_REFUSAL = 1_048_576  # bytes of a provider's own error that are handed on, framing included
_LONGEST_TOKEN = 256  # characters; of the largest vocabularies it has 128, all of them spaces


class OpenAIProvider:
    """A provider of chat completions, completions and embeddings.

    Args:
        settings: the configured provider.
        redactor: knows what no client may be told.
    """

    def __init__(self, settings: ProviderSettings, redactor: Redactor) -> None:
        self.name = settings.name
        self._vendor = VENDORS[settings.kind]
        self._timeouts = settings.timeouts
        self._keys = max(1, len(settings.api_keys))
        self._redactor = redactor
        self._transport = Transport(settings, *_PATHS.values(), MODELS)

    def check(self, models: Collection[str]) -> Report:
        return check(self._transport, self.name, self._timeouts.connect, self._keys)

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        return self._whole(request, self._send(request, model, call))

    def stream(self, request: ModelRequest, model: str, call: Call) -> Stream:
        first_by = time.monotonic() + self._timeouts.first_byte
        reply = self._send(request, model, call, first_by)
        if reply.headers.get("content-type", "").startswith(_UNSTREAMED):
            return Replay(self._whole(request, reply, _LARGEST_UNSTREAMED))
        transcript = Transcript(request.operation, self._vendor.reasoning_beside)
        most = self._most_characters(request, call.cap)
        stream = OpenAIStream(self.name, reply, self._timeouts, transcript, most, self._request_id(reply.headers))
        stream.open(first_by)
        return stream

    def _most_characters(self, request: ModelRequest, cap: int | None) -> float:
        """How many characters an answer has at most that keeps to its cap; no bound where what is shown may have more
        than is capped: reasoning beside it, or the prompt once more."""
        caps = [*request.caps.values(), *([cap] if cap else [])]
        if not caps or request.operation != "chat" or self._vendor.reasoning_beside:
            return math.inf
        return min(caps) * request.choices * _LONGEST_TOKEN

    def _whole(self, request: ModelRequest, reply: Reply, most_bytes: int | None = None) -> Completion:
        body = reply.read(most_bytes)
        try:
            return openai.read_whole(
                request.operation, body, self._vendor.reasoning_beside, self._request_id(reply.headers)
            )
        except openai.TooManyParts as error:
            raise too_large(self.name, str(error)) from error
        except ValueError as error:
            raise no_answer(self.name, body) from error

    def _send(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        """Send the request; a reply that is no success is raised."""
        timeouts = self._timeouts
        until = time.monotonic() + timeouts.total
        deadlines = Deadlines(
            timeouts.connect,
            until if call.deadline is None else min(until, call.deadline),
            first_by=first_by,
            idle=timeouts.idle if request.stream else None,
            client=call.client,
            drain=timeouts.drain,
        )
        headers = {"x-request-id": call.id, "x-gateway-attempt": str(call.attempt)}
        if request.stream:
            headers["accept"] = sse.MEDIA_TYPE
        reply = self._transport.send(
            _PATHS[request.operation], self._body(request, model, call.cap), headers, deadlines, call.key
        )
        if not 200 <= reply.status < 300:
            raise self._failure(reply)
        return reply

    def _body(self, request: ModelRequest, model: str, cap: int | None) -> bytes:
        """The request as it leaves: the client's own bytes where they are of this dialect, but for what we own."""
        owned: dict[str, Any] = {"model": model}
        if request.stream and self._vendor.usage_option:
            owned["stream_options"] = {**request.stream_options, "include_usage": True}
        by_name = "max_completion_tokens" if _REASONING_MODEL.search(model) else "max_tokens"
        own_cap = (self._vendor.output_cap or by_name) if request.operation == "chat" else "max_tokens"
        if cap is not None:
            owned |= {name: min(given, cap) for name, given in request.caps.items()}
            if not request.caps or self._vendor.output_cap:  # a vendor need not know the name that the client used
                owned[own_cap] = min([cap, *request.caps.values()])
        if (body := request.body) is not None:
            return in_turn(len(body), lambda: edited(body, owned))
        asked = {**request.asked, **owned}
        if (most := asked.pop("max_tokens", None)) is not None:
            asked[own_cap] = most
        if request.stream:
            asked["stream"] = True
        return orjson.dumps(asked)

    def _failure(self, reply: Reply) -> GatewayError:
        try:
            body = reply.read(_LARGEST_REFUSAL)
        except AnswerTooLarge:
            body = b""
        error = failure(self.name, reply.status, body, reply.headers.get("retry-after"))
        if isinstance(error, ProviderRefused) and error.body and self._quotes_a_credential(error.body):
            detail = f"status {reply.status}, its text quotes a credential of the gateway's"
            error = ProviderFailed(f"The provider {self.name!r} answered {reply.status}.", detail=detail)
        error.upstream_request_id = self._request_id(reply.headers)
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
