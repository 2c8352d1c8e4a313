"""What every vendor's API over HTTP has in common: the request sent within its deadlines, and what a refusal means."""

from __future__ import annotations

import math
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import orjson

from gateway.config.secrets import Redactor
from gateway.config.settings import ProviderSettings
from gateway.config.vendors import VENDORS
from gateway.errors import AnswerTooLarge, GatewayError, ProviderFailed, ProviderRefused
from gateway.model import Completion, Dialect, ModelRequest, Operation
from gateway.providers.base import Call, Report, Stream, Translation, failure, no_answer, not_understood
from gateway.providers.checking import check
from gateway.providers.connection import Deadlines
from gateway.providers.http import Reply, Transport, too_large
from gateway.providers.stream import Arriving, VendorStream
from gateway.wire import sse
from gateway.wire.openai import TooManyParts
from gateway.wire.replay import Replay, can_be_replayed

_UNSTREAMED = "application/json", "text/html"  # some servers do not stream, and bill all the same; a page is none
LARGEST_UNSTREAMED = 8_388_608  # bytes of a whole answer to who asked for a stream, which is made of it
_LONGEST_TOKEN = 256  # characters; of the largest vocabularies it has 128, all of them spaces
_LARGEST_REFUSAL = 1_048_576  # bytes of a provider's own error that are handed on, framing included
_REQUEST_ID_HEADERS = (
    "x-request-id", "request-id", "mistral-correlation-id", "apim-request-id", "x-ds-trace-id", "x-amzn-requestid",
    "inference-id", "nvcf-reqid", "x-generation-id",
)  # fmt: skip
_REQUEST_ID = re.compile(r"[!-~]{1,256}")


class HttpProvider(ABC):
    """A provider that is called over HTTP. What differs between APIs is how a request is written and sent, how a whole
    answer is read and how a stream is.

    Args:
        settings: the configured provider.
        redactor: knows what no client may be told.
        paths: what calls append to its address.
    """

    operations: frozenset[Operation] = frozenset({"chat"})
    dialects: frozenset[Dialect] = frozenset()

    def __init__(self, settings: ProviderSettings, redactor: Redactor, *paths: str) -> None:
        self.name = settings.name
        self.vendor = VENDORS[settings.kind]
        self.api = self.vendor.api.name
        self.timeouts = settings.timeouts
        self._keys = max(1, len(settings.api_keys))
        self._redactor = redactor
        self._transport = Transport(settings, *paths, self.vendor.api.models, api=self.vendor.api)

    def check(self, models: Collection[str]) -> Report:
        return check(self._transport, self.vendor.api.models, self.name, self.timeouts.connect, self._keys)

    def count_tokens(self, request: ModelRequest, model: str, call: Call) -> int | None:
        return None

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        return self._whole(request, model, self.ask(request, model, call))

    def stream(self, request: ModelRequest, model: str, call: Call) -> Stream:
        first_by = time.monotonic() + self.timeouts.first_byte
        reply = self.ask(request, model, call, first_by)
        if reply.headers.get("content-type", "").startswith(_UNSTREAMED):
            whole = self._whole(request, model, reply, LARGEST_UNSTREAMED)
            if not can_be_replayed(whole):
                raise not_understood(self.name, "an answer that cannot be streamed")
            return Replay(whole)
        most, its_id = self.most_characters(request, call.cap), self._request_id(reply.headers)
        stream = self.stream_of(
            request, model, Arriving(self.name, reply, self.timeouts, most, its_id, self._quotes_a_credential)
        )
        stream.open(first_by)
        return stream

    @abstractmethod
    def translate(self, request: ModelRequest, model: str) -> Translation:
        """See `gateway.providers.base.Provider`."""

    @abstractmethod
    def ask(self, request: ModelRequest, model: str, call: Call, first_by: float | None = None) -> Reply:
        """Write the request and `send` it."""

    @abstractmethod
    def read(self, request: ModelRequest, model: str, body: bytes, its_id: str | None) -> Completion:
        """What a whole answer says, whose call has this id at the provider. Raises TooManyParts, or ValueError where it
        is none."""

    @abstractmethod
    def stream_of(self, request: ModelRequest, model: str, arriving: Arriving) -> VendorStream:
        """An answer that arrives in this API's events."""

    def most_characters(self, request: ModelRequest, cap: int | None) -> float:
        """How many characters an answer has at most that keeps to its cap."""
        most = request.capped(cap)
        return math.inf if most is None else most * request.choices * _LONGEST_TOKEN

    def send(
        self,
        path: str,
        body: bytes,
        request: ModelRequest,
        call: Call,
        first_by: float | None = None,
        headers: Mapping[str, str] | None = None,
        suffix: str = "",
    ) -> Reply:
        """Send the request; a reply that is no success is raised.

        Args:
            path: one of the provider's.
            body: as it leaves.
            first_by: monotonic seconds at which the first event of a stream must be there.
            headers: beside those of every call.
            suffix: of the path, where that holds what is not known beforehand.
        """
        until = time.monotonic() + self.timeouts.total
        deadlines = Deadlines(
            self.timeouts.connect,
            until if call.deadline is None else min(until, call.deadline),
            first_by=first_by,
            idle=self.timeouts.idle if request.stream else None,
            client=call.client,
            drain=self.timeouts.drain,
        )
        own = {"x-request-id": call.id, "x-gateway-attempt": str(call.attempt), **(headers or {})}
        if request.stream:
            own["accept"] = sse.MEDIA_TYPE
        reply = self._transport.send(path, body, own, deadlines, call.key, suffix)
        if not 200 <= reply.status < 300:
            raise self._failure(reply, request.dialect if request.dialect in self.dialects else None)
        return reply

    def _whole(self, request: ModelRequest, model: str, reply: Reply, most_bytes: int | None = None) -> Completion:
        body = reply.read(most_bytes)
        try:
            return self.read(request, model, body, self._request_id(reply.headers))
        except TooManyParts as error:
            raise too_large(self.name, str(error)) from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise no_answer(self.name, body) from error

    def _request_id(self, headers: Mapping[str, str]) -> str | None:
        """The provider's own id of a call, if it may be told."""
        for name in _REQUEST_ID_HEADERS:
            value = headers.get(name, "")
            if _REQUEST_ID.fullmatch(value) and not self._redactor.finds(value):
                return value
        return None

    def _failure(self, reply: Reply, dialect: Dialect | None) -> GatewayError:
        try:
            body = reply.read(_LARGEST_REFUSAL)
        except AnswerTooLarge:
            body = b""
        error = failure(self.name, reply.status, body, reply.headers.get("retry-after"))
        if isinstance(error, ProviderRefused):
            error.dialect = dialect
            if error.body and self._quotes_a_credential(error.body):
                detail = f"status {reply.status}, its text quotes a credential of the gateway's"
                error = ProviderFailed(f"The provider {self.name!r} answered {reply.status}.", detail=detail)
        error.upstream_request_id = self._request_id(reply.headers)
        return error

    def _quotes_a_credential(self, body: bytes) -> bool:
        """Whether `body`, JSON mostly, would tell a client one of our credentials, however it is escaped."""
        try:
            unescaped = orjson.dumps(orjson.loads(body))
        except orjson.JSONDecodeError:
            unescaped = b""
        except orjson.JSONEncodeError:
            return True  # nested deeper than it can be looked into
        return any(self._redactor.finds(form.decode(errors="replace")) for form in (body, unescaped))
