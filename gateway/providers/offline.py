"""The built-in provider: deterministic answers without a network, for demos, tests and load.

`offline/echo` repeats what it is told. Its behaviour is set in the configuration (`answer:`) or in the model's name:
`offline/echo?tokens=200&latency_ms=500&tokens_per_second=50&fail=503&fail_percent=10`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, get_args
from urllib.parse import parse_qsl

import orjson
from marshmallow import ValidationError

from gateway.concurrency import HungUp, give_way, wait
from gateway.config.schema import AnswerSchema
from gateway.config.settings import OfflineSettings, ProviderSettings
from gateway.errors import ClientLeft, GatewayError, ModelNotFound, UpstreamError, UpstreamTimeout
from gateway.model import Completion, Dialect, ModelRequest, Operation
from gateway.providers.base import TICK, Call, Report, Translation, failure
from gateway.providers.echo import Echo, PromptCount, TokenCount, Unanswerable, digest, said_last
from gateway.wire import sse
from gateway.wire.fields import ApiName
from gateway.wire.openai import chunks, read_choices, read_usage, read_whole
from gateway.wire.transcript import Transcript

_options = AnswerSchema()
_BLOCK = 16_384  # bytes after which events are handed on, though the next are due
_PIECE = re.compile(r"\s{0,16}\S{1,16}|\s{1,16}")  # a word, or a part of a long one: some languages have no spaces


class OfflineProvider:
    """Answers by itself.

    Args:
        settings: the configured provider.
        count: tokens of a text.
        count_prompt: tokens of a request's prompt, framing included.
    """

    def __init__(self, settings: ProviderSettings, count: TokenCount, count_prompt: PromptCount) -> None:
        self.name = settings.name
        self.api: ApiName = "openai"
        self.dialects: frozenset[Dialect] = frozenset({"openai"})
        self.operations: frozenset[Operation] = frozenset(get_args(Operation))
        self._behaviour = settings.offline
        self._total = settings.timeouts.total
        self._echo = Echo(count, count_prompt)

    def check(self, models: Collection[str]) -> Report:
        for model in models:
            self._named(model)
        return Report("built in")

    def translate(self, request: ModelRequest, model: str) -> Translation:
        return Translation(request.asked)

    def complete(self, request: ModelRequest, model: str, call: Call) -> Completion:
        patience = _Patience(self.name, self._total, call)
        begun = self._begin(request, model, call, patience)
        if begun.breaks:
            raise _broken(self.name)
        patience.wait(begun.seconds)
        body = orjson.dumps(begun.answer)
        if request.operation == "embeddings":
            found = read_whole(request.operation, body)
        else:  # may hold more brackets than `read_whole` lets a stranger send
            found = read_choices(begun.answer, body, read_usage(begun.answer["usage"]))
        return replace(found, upstream_request_id=call.id)

    def count_tokens(self, request: ModelRequest, model: str, call: Call) -> int | None:
        return None

    def stream(self, request: ModelRequest, model: str, call: Call) -> OfflineStream:
        patience = _Patience(self.name, self._total, call)
        return OfflineStream(self.name, request, self._begin(request, model, call, patience), patience, call.id)

    def _begin(self, request: ModelRequest, model: str, call: Call, patience: _Patience) -> _Begun:
        """Wait until the answer begins, or fails to."""
        behaviour = self._named(model)
        if call.cap is not None:
            most = min([call.cap, *request.caps.values()])
            request = replace(request, asked={**request.asked, "max_completion_tokens": most})
        try:
            answer = self._echo.answer(request, f"{self.name}/{model}", call.id, behaviour.tokens)
        except Unanswerable as error:
            raise self._error(400, str(error), error.param) from error
        patience.wait(behaviour.latency_ms / 1000)
        fails = digest(said_last(request))[0] * 100 < behaviour.fail_percent * 256
        if behaviour.fail and behaviour.fail != "cut" and fails:
            self._fail(behaviour.fail, patience)
        tokens = answer["usage"].get("completion_tokens", 0)
        seconds = tokens / behaviour.tokens_per_second if behaviour.tokens_per_second else 0
        return _Begun(answer, seconds, breaks=behaviour.fail == "cut" and fails)

    def _named(self, model: str) -> OfflineSettings:
        name, _, query = model.partition("?")
        try:
            if name != "echo":
                raise ValidationError("there is only 'echo'")
            options: Mapping[str, Any] = _options.load(dict(parse_qsl(query, strict_parsing=True))) if query else {}
        except (ValidationError, ValueError):
            raise ModelNotFound(
                f"The model {self.name + '/' + model[:100]!r} does not exist. The built-in provider has 'echo', with "
                "options such as 'echo?tokens=200&latency_ms=500'.",
                param="model",
            ) from None
        return replace(self._behaviour, **options)

    def _fail(self, how: str, patience: _Patience) -> None:
        if how == "timeout":
            patience.wait(float("inf"))
        if how == "reset":
            raise _broken(self.name)
        raise self._error(int(how), f"Failed with {how} as asked.")

    def _error(self, status: int, message: str, param: str | None = None) -> GatewayError:
        kind = "invalid_request_error" if status == 400 else "offline"
        body = {"error": {"message": message, "type": kind, "param": param, "code": None}}
        return failure(self.name, status, orjson.dumps(body), retry_after="1" if status in (429, 503) else None)


class _Patience:
    """How long one call may take, and who waits for it."""

    def __init__(self, provider: str, seconds: float, call: Call) -> None:
        self._provider = provider
        self._until = time.monotonic() + seconds
        if call.deadline is not None:
            self._until = min(self._until, call.deadline)
        self._client = call.client

    def wait(self, seconds: float) -> None:
        left = self._until - time.monotonic()
        give_way()
        try:
            wait(min(seconds, left), self._client)
        except HungUp:
            raise ClientLeft from None
        if seconds > left:
            raise UpstreamTimeout(f"The provider {self._provider!r} did not answer in time.")


@dataclass(frozen=True, slots=True)
class _Begun:
    """An answer whose first word is due.

    Attributes:
        answer: the whole one.
        seconds: that it takes from now on.
        breaks: it is never whole.
    """

    answer: dict[str, Any]
    seconds: float
    breaks: bool


class OfflineStream:
    """An answer that comes word by word.

    Args:
        name: the provider's.
        request: what was asked.
        begun: the answer.
        patience: of the client, since the request began.
        call_id: of the call.
    """

    def __init__(self, name: str, request: ModelRequest, begun: _Begun, patience: _Patience, call_id: str) -> None:
        self.upstream_request_id: str | None = call_id
        self.dialect: Dialect = "openai"
        self._name = name
        self._begun = begun
        self._patience = patience
        self._transcript = Transcript(request.operation)
        self._left = False

    def blocks(self) -> Iterator[bytes]:
        for block in self._paced():
            if self._left:
                return
            self._patience.wait(0)
            self._transcript.add(block)
            yield block
        if self._begun.breaks:
            raise _broken(self._name)

    def _paced(self) -> Iterator[bytes]:
        """The events when they are due, as many at once as are; b"" after every TICK without one."""
        begun, started = self._begun, time.monotonic()
        number = sum(1 for _ in chunks(begun.answer, _PIECE.findall))
        events = chunks(begun.answer, _PIECE.findall)
        block = b""
        for place, event in enumerate(islice(events, number // 2 if begun.breaks else number), start=1):
            due = started + begun.seconds * place / number
            if block and (len(block) > _BLOCK or time.monotonic() < due):
                yield block
                block = b""
            while (left := due - time.monotonic()) > 0:
                self._patience.wait(min(left, TICK))
                if left > TICK:
                    yield b""
            block += sse.event(orjson.dumps(event))
        yield block

    def leave(self) -> None:
        self._left = True

    def completion(self) -> Completion:
        return replace(self._transcript.completion(), upstream_request_id=self.upstream_request_id)


def _broken(provider: str) -> UpstreamError:
    return UpstreamError(f"The connection to the provider {provider!r} broke.")
