"""The built-in provider: deterministic answers without a network, for demos, tests and load.

`offline/echo` repeats the last message. Its behaviour is set in the configuration (`answer:`) or in the model's name:
`offline/echo?tokens=200&latency_ms=500&tokens_per_second=50&fail=503&fail_percent=10`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import orjson
from marshmallow import ValidationError

from gateway.config.schema import AnswerSchema
from gateway.config.settings import OfflineSettings, ProviderSettings
from gateway.errors import GatewayError, ModelNotFound, UpstreamError, UpstreamTimeout
from gateway.model import ChatRequest, Completion, Message, Usage
from gateway.providers.base import Call, Report, failure

# Each is one token of o200k and of cl100k, with or without a space before it.
_WORDS = (
    "the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "on", "are", "as", "with", "his", "they",
    "at", "be", "this", "from", "have", "or", "by", "one", "had", "not", "but", "what", "all", "were", "when", "we",
)  # fmt: skip

TokenCount = Callable[[str], int]
MessageCount = Callable[[tuple[Message, ...]], int]


class OfflineProvider:
    """Answers by itself.

    Args:
        settings: the configured provider.
        count: tokens of a text.
        count_messages: tokens of a prompt, framing included.
    """

    def __init__(self, settings: ProviderSettings, count: TokenCount, count_messages: MessageCount) -> None:
        self.name = settings.name
        self._behaviour = settings.offline
        self._total = settings.timeouts.total
        self._count = count
        self._count_messages = count_messages

    def check(self, models: Collection[str]) -> Report:
        for model in models:
            self._named(model)
        return Report("built in")

    def complete(self, request: ChatRequest, model: str, call: Call) -> Completion:
        until = time.monotonic() + self._total
        if call.deadline is not None:
            until = min(until, call.deadline)
        behaviour = self._named(model)
        prompt = request.messages[-1].content
        seed = hashlib.sha256(prompt.encode()).digest()
        self._wait(behaviour.latency_ms / 1000, until)
        if behaviour.fail and seed[0] * 100 < behaviour.fail_percent * 256:
            self._fail(behaviour.fail, until)
        text = prompt if behaviour.tokens is None else _filler(behaviour.tokens, seed)
        shortened = self._shorten(text, request.max_tokens)
        tokens = self._count(shortened)
        if behaviour.tokens_per_second:
            self._wait(tokens / behaviour.tokens_per_second, until)
        return Completion(
            text=shortened,
            finish_reason="stop" if shortened == text else "length",
            usage=Usage(self._count_messages(request.messages), tokens),
            upstream_request_id=call.id,
        )

    def _named(self, model: str) -> OfflineSettings:
        name, _, query = model.partition("?")
        try:
            if name != "echo":
                raise ValidationError("there is only 'echo'")
            options: Mapping[str, Any] = AnswerSchema().load(
                dict(parse_qsl(query, strict_parsing=True)) if query else {}
            )
        except (ValidationError, ValueError):
            raise ModelNotFound(
                f"The model {self.name + '/' + model[:100]!r} does not exist. The built-in provider has 'echo', with "
                "options such as 'echo?tokens=200&latency_ms=500'.",
                param="model",
            ) from None
        return replace(self._behaviour, **options)

    def _wait(self, seconds: float, until: float) -> None:
        left = until - time.monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        if seconds > left:
            raise UpstreamTimeout(f"The provider {self.name!r} did not answer in time.")

    def _fail(self, how: str, until: float) -> None:
        if how == "timeout":
            self._wait(float("inf"), until)
        if how == "reset":
            raise UpstreamError(f"The connection to the provider {self.name!r} broke.")
        raise self._error(int(how))

    def _error(self, status: int) -> GatewayError:
        body = {"error": {"message": f"Failed with {status} as asked.", "type": "offline", "param": None, "code": None}}
        return failure(self.name, status, orjson.dumps(body), retry_after="1" if status in (429, 503) else None)

    def _shorten(self, text: str, most: int | None) -> str:
        """The longest beginning of whole words with at most `most` tokens."""
        if most is None or self._count(text) <= most:
            return text
        words = text.split(" ")
        low, high = 0, min(len(words), most)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._count(" ".join(words[:middle])) <= most else (low, middle - 1)
        return " ".join(words[:low])


def _filler(tokens: int, seed: bytes) -> str:
    """Text of exactly `tokens` tokens, the same for the same seed."""
    return " ".join(_WORDS[(seed[index % 32] + index) % 32] for index in range(tokens))
