"""What travels through the house: plain frozen values that know no dialect, vendor or framework."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

Operation = Literal["chat", "completions", "embeddings"]
Dialect = Literal["openai", "responses", "anthropic"]  # OpenAI's chat, OpenAI's responses, Anthropic's messages
UsageSource = Literal["provider", "counted", "bound", "cache"]
State = Literal["ok", "degraded", "down"]  # of one thing that the gateway depends on
Status = Literal["ready", "degraded", "draining", "unavailable"]  # of the gateway

# Fields that cap an answer's tokens; of other operations they are names that nobody has looked at.
_CAPS: Mapping[Operation, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "embeddings": (),
}

NANO_PER_USD = 1_000_000_000
LARGEST = 2**62  # of an amount: two of them still fit into the database's whole numbers together
HEADED = ("requests", "tokens")  # the units of limits that have headers

_DRAWN = 64  # ids' worth of random digits that are drawn at once
_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)  # a child draws its own


def new_id() -> str:
    """A name that nothing else has: 32 hex digits, first 12 of the milliseconds since 1970, so that what is new stands
    together at the end of an index, then 20 that are random."""
    return f"{time.time_ns() // 1_000_000:012x}{_random()}"


def _random() -> str:
    """20 random hex digits, of which the system is asked for many at once; threads take one each."""
    while True:
        try:
            return _drawn.pop()
        except IndexError:
            digits = os.urandom(_DRAWN * 10).hex()
            _drawn.extend(digits[at : at + 20] for at in range(0, len(digits), 20))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the tenant that pays and the key that was shown.

    Attributes:
        role: `client`, or `admin` of the tenant.
        models: the names that it may ask for; None for all.
    """

    tenant: str
    key_id: str
    role: str = "client"
    models: frozenset[str] | None = None

    def may_ask(self, *names: str) -> bool:
        """Whether it may ask for a model that has these names."""
        return self.models is None or not self.models.isdisjoint(names)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request to a model, whatever dialect it came in.

    Attributes:
        operation: what is asked for.
        model: the name the client asked for; None asks for the default model.
        asked: all that bears on the answer, as OpenAI's chat has it, in whatever dialect it came: without the model,
            the user, and how it is delivered. What that has no field for stands in it under the dialect's own name.
        user_id: the end user that the client names, if it does.
        dialect: that it came in.
        body: the bytes that are sent, but for what the gateway owns: as they came, or as a provider of another dialect
            has to be asked. None where they are still to be written: there is a dialect that only the gateway speaks.
        is_translated: the body is the gateway's, in the words of the provider's API.
        headers: of the client, which a vendor of the same dialect gets too.
        stream: the answer is to come in events, as it is made.
        stream_options: OpenAI's, as the client set them.
        unknown: fields of the request that its dialect does not document.
        hints: names of fields that are not in `asked`, since no answer depends on them, and mean something to a vendor
            of the same dialect.
        conversation: what the client calls the conversation that it is part of.
    """

    operation: Operation
    model: str | None
    asked: Mapping[str, Any]
    user_id: str | None = None
    body: bytes | None = None
    is_translated: bool = False
    dialect: Dialect = "openai"
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: bool = False
    stream_options: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    conversation: str | None = None

    @property
    def choices(self) -> int:
        """How many answers it asks for, for each prompt."""
        return 0 if self.operation == "embeddings" else self.asked.get("n") or 1

    @property
    def caps(self) -> dict[str, int]:
        """The fields of it that cap each choice's tokens, as the client set them."""
        return {name: self.asked[name] for name in _CAPS[self.operation] if self.asked.get(name) is not None}

    def capped(self, most: int | None) -> int | None:
        """The tokens that a choice may have at most: as the client set them, and no more than `most`."""
        return min([*self.caps.values(), *([] if most is None else [most])], default=None)

    @property
    def include_usage(self) -> bool:
        """A stream is to end with its usage."""
        return self.stream_options.get("include_usage") is True


@dataclass(frozen=True, slots=True)
class Target:
    """A provider's name in the configuration and the model's name at that provider."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `prompt_tokens` includes the cached and the cache-write ones, `completion_tokens` the
    reasoning ones; `written_for_1h` are those of the cache-write ones that are kept for an hour, which costs more."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"
    written_for_1h: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """A provider's answer: the whole one, or what came of it until its stream ended.

    Attributes:
        body: JSON as the provider sent it, or put together from its events.
        dialect: of the body: the request's own where the provider speaks that, else OpenAI's chat.
        text: what the first choice says.
        generated: all that was generated, in every choice, tool calls included.
        not_kept: characters of `generated` beyond those that were worth their memory; `body` lacks them.
        finish_reasons: of every choice; None where it has none.
        usage: None where the provider did not tell, or not credibly.
        begun: what it told of the prompt before it broke off, where it told no more.
        misreported: it did tell, and not credibly.
        unfinished: the provider goes on with it by itself, and nobody knows yet what it takes.
    """

    body: bytes
    text: str = ""
    generated: str = ""
    not_kept: int = 0
    finish_reasons: tuple[str | None, ...] = ()
    usage: Usage | None = None
    begun: Usage | None = None
    misreported: bool = False
    unfinished: bool = False
    upstream_request_id: str | None = None
    dialect: Dialect = "openai"

    def native(self, body: bytes, dialect: Dialect) -> Completion:
        """The same answer as the provider wrote it in a dialect of its own."""
        return replace(self, body=body, dialect=dialect)


@dataclass(frozen=True, slots=True)
class Answer:
    """A settled answer. `cost_nano` is None for a model without a price; `cached` if it was bought earlier."""

    completion: Completion
    usage: Usage
    cost_nano: int | None
    target: Target
    cached: bool = False


class Rate(NamedTuple):
    """How a limit stands for a call that it bears on, as the `x-ratelimit` headers tell it.

    Attributes:
        unit: one of HEADED.
        used: by others, held or spent.
        taken: by the call.
        resets: seconds until nothing that counts now counts any more; None for never.
    """

    unit: str
    limit: int
    used: int
    taken: int
    resets: float | None

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used - self.taken)


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What a request allows: to be answered from the cache, and to have its answer kept there."""

    read: bool = True
    store: bool = True


def usd(nano: int) -> str:
    """Write an amount of nano-USD as plain decimal USD: at most 9 places, no exponent.

    >>> usd(2_100_000), usd(1), usd(3_000_000_000)
    ('0.0021', '0.000000001', '3')
    """
    whole, rest = divmod(nano, NANO_PER_USD)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
