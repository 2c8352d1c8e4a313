"""What is known of one request, filled in on its way through the house and written as one log line at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from gateway.model import Rate, Usage, usd


@dataclass(slots=True)
class RequestRecord:
    """One request. None means not known, never zero.

    Attributes:
        started: monotonic seconds.
        ended: likewise, when a whole answer was ready to be sent; None until then, and for streams.
        cache: how it met the response cache: hit, miss or bypass; `cached` says whether the answer is from there.
        requested_model: the name that the client asked for; `model` is the provider's.
        tried: targets that did not answer, and why.
        of_anthropic: it came by Anthropic's dialect, and so do errors leave.
        dropped: what of the request the provider was not asked, since its API has nothing like it.
        waited_seconds: time spent waiting for others: for a place, for the request's body, for limits, for providers in
            all attempts together.
        limited_seconds: of these, for limits.
        limit: the one that refused, as `tenant:search usd/month`.
        rates: how the limits stand that have headers.
        prompt, response: filled only where the operator logs prompts.
    """

    request_id: str
    method: str
    path: str
    client: str | None = None
    client_address: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    status: int | None = None
    tenant: str | None = None
    key_id: str | None = None
    user_id: str | None = None
    requested_model: str | None = None
    model: str | None = None
    provider: str | None = None
    stream: bool = False
    cache: str | None = None
    cached: bool = False
    attempts: int = 0
    tried: list[str] = field(default_factory=list)
    of_anthropic: bool = False
    dropped: tuple[str, ...] = ()
    waited_seconds: float = 0.0
    limited_seconds: float = 0.0
    usage: Usage | None = None
    cost_nano: int | None = None
    ttft_ms: int | None = None
    finish_reason: str | None = None
    upstream_request_id: str | None = None
    error_code: str | None = None
    limit: str | None = None
    rates: Sequence[Rate] = ()
    prompt: str | None = None
    response: str | None = None

    @property
    def duration_ms(self) -> int:
        return round(((self.ended or time.monotonic()) - self.started) * 1000)

    @property
    def overhead_seconds(self) -> float:
        """The gateway's own share of the time so far."""
        return max(0.0, (self.ended or time.monotonic()) - self.started - self.waited_seconds)

    @property
    def overhead_ms(self) -> float:
        """The same in milliseconds, to a microsecond."""
        return round(self.overhead_seconds * 1000, 3)

    def as_log_fields(self) -> dict[str, Any]:
        """The fields of the log line, in the order in which a reader wants them."""
        line: dict[str, Any] = dict(zip(_AS_THEY_ARE, _as_they_are(self), strict=True))
        usage = self.usage
        line |= {
            "duration_ms": self.duration_ms,
            "overhead_ms": self.overhead_ms,
            "estimated_cost_usd": None if self.cost_nano is None else usd(self.cost_nano),
            "usage_source": usage.source if usage else None,
        }
        line |= zip(_TOKENS, _tokens(usage), strict=True) if usage else _NO_TOKENS
        if self.tried:
            line["tried"] = self.tried
        if self.dropped:
            line["dropped"] = self.dropped
        if self.limit is not None:
            line["limit"] = self.limit
        if self.prompt is not None:
            line |= {"prompt": self.prompt, "response": self.response}
        return line


_TOKENS = tuple(entry.name for entry in fields(Usage) if entry.name.endswith("_tokens"))
_AS_THEY_ARE = (
    "request_id", "trace_id", "method", "path", "status", "tenant", "key_id", "user_id", "requested_model", "model",
    "provider", "stream", "cached", "attempts", "ttft_ms", "finish_reason", "upstream_request_id", "session_id",
    "client", "client_address", "error_code",
)  # fmt: skip
_NO_TOKENS = dict.fromkeys(_TOKENS)
_as_they_are, _tokens = attrgetter(*_AS_THEY_ARE), attrgetter(*_TOKENS)
