"""What works, what does not, and why: `gateway check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.accounting.tokens import TokenCounter
from gateway.config import Settings
from gateway.errors import GatewayError
from gateway.providers.base import Provider
from gateway.routing.router import Router


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `state` is "ok", "warning" or "failed"."""

    state: str
    subject: str
    text: str


def findings(
    settings: Settings, router: Router, providers: Mapping[str, Provider], tokens: TokenCounter
) -> Iterator[Finding]:
    """Look at everything, in order, and yield each finding as soon as it is made; providers are really asked."""
    yield Finding("ok", "configuration", ", ".join(settings.sources) or "environment only")
    for warning in settings.warnings:
        yield Finding("warning", "configuration", warning)
    if tokens.exact:
        yield Finding("ok", "tokenizers", "cl100k_base and o200k_base")
    else:
        yield Finding("warning", "tokenizers", "not found: where a provider reports no usage, tokens are bytes / 4")
    for name in dict.fromkeys([settings.default_model, *settings.models]):
        targets = ", ".join(str(candidate.target) for candidate in router.candidates(name))
        yield Finding("ok", f"model {name}", f"answered by {targets}")
    for name, provider in providers.items():
        try:
            yield Finding("ok", f"provider {name}", provider.check())
        except GatewayError as error:
            yield Finding("failed", f"provider {name}", error.message)
