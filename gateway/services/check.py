"""What works, what does not, and why: `gateway check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.accounting.costs import Costs
from gateway.accounting.tokens import TokenCounter
from gateway.config import Settings
from gateway.errors import GatewayError
from gateway.providers.base import Provider
from gateway.routing.router import Candidate, Router


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `state` is "ok", "warning" or "failed"."""

    state: str
    subject: str
    text: str


def findings(
    settings: Settings, router: Router, providers: Mapping[str, Provider], tokens: TokenCounter, costs: Costs
) -> Iterator[Finding]:
    """Look at everything, in order, and yield each finding as soon as it is made; providers are really asked."""
    yield Finding("ok", "configuration", ", ".join(settings.sources) or "environment only")
    for warning in settings.warnings:
        yield Finding("warning", "configuration", warning)
    if tokens.exact:
        yield Finding("ok", "tokenizers", "cl100k_base and o200k_base")
    else:
        yield Finding("warning", "tokenizers", "not found: where a provider reports no usage, tokens are bytes / 4")

    routes = {name: router.candidates(name) for name in dict.fromkeys([settings.default_model, *settings.models])}
    asked_for = {candidate.target for route in routes.values() for candidate in route}
    listed: dict[str, frozenset[str]] = {}
    for name, provider in providers.items():
        try:
            report = provider.check([target.model for target in asked_for if target.provider == name])
        except GatewayError as error:
            yield Finding("failed", f"provider {name}", f"{error.message} {error.detail or ''}".strip())
        else:
            yield Finding("ok", f"provider {name}", report.text)
            if report.models is not None:
                listed[name] = report.models
    for name, route in routes.items():
        yield from _of_model(f"model {name}", route, listed, costs)


def _of_model(
    subject: str, route: list[Candidate], listed: Mapping[str, frozenset[str]], costs: Costs
) -> Iterator[Finding]:
    yield Finding("ok", subject, f"answered by {', '.join(str(candidate.target) for candidate in route)}")
    for candidate in route:
        target = candidate.target
        if target.model not in listed.get(target.provider, {target.model}):
            yield Finding("warning", subject, f"{target.provider} does not list {target.model!r}")
        if costs.price(target, candidate.alias) is None:
            yield Finding("warning", subject, f"{target} has no price, so its cost will not be known")
