"""Any vendor that speaks OpenAI's API; what differs between them is a data row."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings, Timeouts
from gateway.config.vendors import VENDORS
from gateway.errors import (
    AnswerTooLarge,
    GatewayError,
    ProviderFailed,
    ProviderRefused,
    UpstreamError,
    UpstreamTimeout,
)
from gateway.model import Completion, ModelRequest, Operation
from gateway.providers.base import TICK, Call, Report, Stream, error_code, failure
from gateway.providers.checking import MODELS, check
from gateway.providers.connection import MAX_STREAM_BYTES, Deadlines
from gateway.providers.http import Reply, Transport, too_large
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
_DONE = b"[DONE]"
_ERROR = re.compile(rb"(?:event: ?)?error(?::|$)", re.MULTILINE)  # an event of this name, or llama.cpp's own field
_LARGEST_REFUSAL = 1_048_576  # bytes of a provider's own error that are handed on, framing included
_LAST_BYTES = 0.02  # seconds for the end of a body after its last event, so that the connection can be kept


class OpenAIProvider:
    """A provider of chat completions, completions and embeddings.

    Args:
        settings: the configured provider.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.name
        self._vendor = VENDORS[settings.kind]
        self._timeouts = settings.timeouts
        self._keys = max(1, len(settings.api_keys))
        self._redactor = Redactor(settings.secrets())
        self._transport = Transport(settings, *_PATHS.values(), MODELS)

    def check(self, models: Collection[str]) -> Report:
        return check(self._transport, self.name, self._timeouts.connect, self._keys)

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        return self._whole(request, self._send(request, model, call))

    def stream(self, request: ModelRequest, model: str, call: Call) -> Stream:
        first_by = time.monotonic() + self._timeouts.first_byte
        reply = self._send(request, model, call, first_by)
        if reply.headers.get("content-type", "").startswith("application/json"):
            return Replay(self._whole(request, reply))  # some servers do not stream, and bill all the same
        transcript = Transcript(request.operation, self._vendor.reasoning_beside)
        stream = OpenAIStream(self.name, reply, self._timeouts, transcript, self._request_id(reply.headers))
        stream.open(first_by)
        return stream

    def _whole(self, request: ModelRequest, reply: Reply) -> Completion:
        body = reply.read()
        try:
            answer = openai.read_whole(request.operation, body, self._vendor.reasoning_beside)
        except openai.TooManyParts as error:
            raise too_large(self.name, str(error)) from error
        except ValueError as error:
            raise _not_understood(self.name) from error
        return replace(answer, upstream_request_id=self._request_id(reply.headers))

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
        if request.body is not None:
            return edited(request.body, owned)
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


class OpenAIStream:
    """A stream of OpenAI's chunks; see `gateway.providers.base.Stream`.

    Args:
        provider: its name, for messages.
        reply: a success whose body is still to come.
        timeouts: how long an event may take, and whether the rest is read where the client has left.
        transcript: takes in what comes.
        upstream_request_id: the provider's own id of the call.
    """

    def __init__(
        self, provider: str, reply: Reply, timeouts: Timeouts, transcript: Transcript, upstream_request_id: str | None
    ) -> None:
        self.upstream_request_id = upstream_request_id
        self._provider = provider
        self._reply = reply
        self._timeouts = timeouts
        self._transcript = transcript
        self._due = 0.0
        self._blocks = self._read()
        self._first = b""

    def open(self, first_by: float) -> None:
        """Wait for the first event, until `first_by` in monotonic seconds. Raises what `blocks` raises, before a client
        has been sent anything."""
        self._due = first_by
        for block in self._blocks:
            if payload := next(sse.payloads(block), None):
                self._first = block
                if not _is_object(payload):
                    self.leave()
                    break
                return
        raise _not_understood(self._provider)

    def blocks(self) -> Iterator[bytes]:
        yield self._first
        yield from self._blocks

    def leave(self) -> None:
        if self._timeouts.drain:
            self._reply.drain()
            with contextlib.suppress(GatewayError):
                for _ in self._blocks:
                    pass
        self._blocks.close()

    def completion(self) -> Completion:
        return replace(self._transcript.completion(), upstream_request_id=self.upstream_request_id)

    def _read(self) -> Generator[bytes]:
        framer = sse.Framer()
        with contextlib.closing(self._reply.arrivals(TICK, MAX_STREAM_BYTES)) as arrivals:
            for data in arrivals:
                try:
                    block, last = _up_to_the_end(framer.feed(data))
                except ValueError as error:
                    raise _not_understood(self._provider) from error
                if block:
                    self._due = time.monotonic() + self._timeouts.idle
                    self._transcript.add(block)
                elif time.monotonic() > self._due:
                    raise UpstreamTimeout(
                        f"The provider {self._provider!r} did not answer in time.", detail="no whole event in time"
                    )
                yield block
                if last == _DONE:
                    if self._transcript.malformed():
                        raise _broke_off(self._provider, "an event is no JSON object")
                    self._reply.finish(_LAST_BYTES)
                    return
                if last is not None:
                    raise _broke_off(self._provider, error_code(last))
        raise _broke_off(self._provider, "it ended without [DONE]")


def _up_to_the_end(block: bytes) -> tuple[bytes, bytes | None]:
    """The events of the block before the one that ends the stream, if that is in it, and what that one says."""
    if _DONE not in block and b"error" not in block:
        return block, None
    kept: list[bytes] = []
    for event in sse.events(block):
        if _DONE in event or b"error" in event:
            says = next(sse.payloads(event), b"").strip()
            if says == _DONE or _ERROR.match(event) or (b'"error"' in says and _reports_an_error(says)):
                return b"".join(kept), says
        kept.append(event + b"\n\n")
    return block, None


def _reports_an_error(payload: bytes) -> bool:
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(chunk, dict) and (bool(chunk.get("error")) or chunk.get("object") == "error")


def _is_object(payload: bytes) -> bool:
    try:
        return isinstance(orjson.loads(payload), dict)
    except orjson.JSONDecodeError:
        return False


def _not_understood(provider: str) -> UpstreamError:
    return UpstreamError(f"The provider {provider!r} sent an answer that cannot be understood.")


def _broke_off(provider: str, detail: str | None) -> UpstreamError:
    return UpstreamError(f"The provider {provider!r} broke off its answer.", detail=detail)
