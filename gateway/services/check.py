"""What works, what does not, and why: `gateway check`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.accounting.costs import Costs
from gateway.accounting.tokens import TokenCounter
from gateway.cache.backends import RedisCache
from gateway.config import Settings
from gateway.errors import GatewayError
from gateway.providers.base import Provider
from gateway.routing.router import Candidate, Router
from gateway.stores import StoreError


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

    if settings.cache_ttl:
        yield _of_cache(settings)

    routes = {name: router.candidates(name) for name in dict.fromkeys([settings.default_model, *settings.models])}
    asked_for = {candidate.target for route in routes.values() for candidate in route}
    listed: dict[str, frozenset[str]] = {}
    failed: set[str] = set()
    for name, provider in providers.items():
        try:
            report = provider.check([target.model for target in asked_for if target.provider == name])
        except GatewayError as error:
            failed.add(name)
            yield Finding("failed", f"provider {name}", f"{error.message} {error.detail or ''}".strip())
        else:
            yield Finding("ok", f"provider {name}", report.text)
            if report.models is not None:
                listed[name] = report.models
    for name, route in routes.items():
        state = "failed" if failed.issuperset(candidate.target.provider for candidate in route) else "ok"
        yield Finding(state, f"model {name}", f"goes to {', '.join(str(candidate.target) for candidate in route)}")
        yield from _doubts(f"model {name}", route, listed, costs)


def _of_cache(settings: Settings) -> Finding:
    """Redis is really asked; of the embedded cache only the place is looked at, since who makes it owns it."""
    if settings.redis_url:
        where = "Redis"
        try:
            RedisCache(settings.redis_url).get("check")
            reason = ""
        except StoreError as error:
            reason = str(error)
    else:
        where = f"embedded, in {settings.data_dir}"
        there = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
        reason = "" if there.is_dir() and os.access(there, os.W_OK) else f"{there} is no directory that can be written"
    if not reason:
        return Finding("ok", "cache", f"{where}; answers are kept for {settings.cache_ttl} s")
    return Finding("warning", "cache", f"{where}: every request goes to a provider: {reason}")


def _doubts(
    subject: str, route: list[Candidate], listed: Mapping[str, frozenset[str]], costs: Costs
) -> Iterator[Finding]:
    for candidate in route:
        target = candidate.target
        if target.model not in listed.get(target.provider, {target.model}):
            yield Finding("warning", subject, f"{target.provider} does not list {target.model!r}")
        if costs.price(target, candidate.alias) is None:
            yield Finding("warning", subject, f"{target} has no price, so its cost will not be known")
