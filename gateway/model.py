"""What travels through the house: plain frozen values that know no dialect, vendor or framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
UsageSource = Literal["provider", "counted", "cache"]
State = Literal["ok", "degraded", "down"]  # of one thing that the gateway depends on
Status = Literal["ready", "degraded", "draining"]  # of the gateway

NANO_PER_USD = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the tenant that pays and the key that was shown."""

    tenant: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request for an answer, whatever dialect it came in.

    Attributes:
        model: the name the client asked for; None asks for the default model.
        messages: the conversation, oldest first.
        user_id: the end user that the client names.
        max_tokens: the most tokens the answer may have, or None for the provider's own limit.
        temperature: 0 to 2, or None for the provider's default.
    """

    model: str | None
    messages: tuple[Message, ...]
    user_id: str
    max_tokens: int | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A provider's name in the configuration and the model's name at that provider."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `prompt_tokens` includes the cached and the cache-write ones,
    `completion_tokens` includes the reasoning ones."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"


@dataclass(frozen=True, slots=True)
class Completion:
    """A provider's whole answer. `usage` is None where the provider did not tell, or not credibly."""

    text: str
    finish_reason: str | None
    usage: Usage | None
    upstream_request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A settled answer. `cost_nano` is None for a model without a price; `cached` if it was bought earlier."""

    completion: Completion
    usage: Usage
    cost_nano: int | None
    target: Target
    cached: bool = False


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
