"""What works, what does not, and why: `gateway check`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.accounting.costs import Costs
from gateway.accounting.tokens import TokenCounter
from gateway.cache.backends import RedisCache
from gateway.config import Settings
from gateway.errors import GatewayError
from gateway.providers.base import Provider
from gateway.routing.router import Candidate, Router
from gateway.stores import StoreError
from gateway.stores.counters.opening import open_counters
from gateway.stores.ledger.opening import open_ledger


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

    yield _of_ledger(settings)
    yield _of_counters(settings)
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


def _of_ledger(settings: Settings) -> Finding:
    """A ledger that is there is read; of one that is not yet, only the place is looked at."""
    database, _ = open_ledger(settings.database_url, settings.data_dir)
    try:
        if not database.exists():
            reason = "" if settings.database_url else _unwritable(settings.data_dir)
            state, text = ("failed", reason) if reason else ("ok", f"will be made in {database.place}")
            return Finding(state, "ledger", text)
        keys, limits = database.read(lambda tx: (len(tx.run("keys")), len(tx.run("limits"))))
    except StoreError as error:
        return Finding("failed", "ledger", str(error))
    finally:
        database.close()
    return Finding("ok", "ledger", f"in {database.place}; keys: {keys}, limits: {limits}")


def _of_counters(settings: Settings) -> Finding:
    """Redis is really asked; embedded counters are made where the ledger is, if they are not there yet."""
    if not settings.redis_url:
        return Finding("ok", "counters", f"embedded, in {settings.data_dir}")
    try:
        open_counters(settings.redis_url, settings.data_dir).used([(bytes(16), 1)])
    except StoreError as error:
        return Finding("warning", "counters", f"each worker keeps to its share of the limits: {error}")
    return Finding("ok", "counters", "Redis")


def _unwritable(directory: Path) -> str:
    """Why nothing can be written below `directory`, which may not exist yet; "" where it can."""
    there = next(path for path in (directory, *directory.parents) if path.exists())
    return "" if there.is_dir() and os.access(there, os.W_OK) else f"{there} is no directory that can be written"


def _of_cache(settings: Settings) -> Finding:
    """Redis is really asked; the embedded cache is where the ledger is, which has been looked at."""
    kept = f"answers are kept for {settings.cache_ttl} s"
    if not settings.redis_url:
        return Finding("ok", "cache", f"embedded, in {settings.data_dir}; {kept}")
    try:
        RedisCache(settings.redis_url).get("check")
    except StoreError as error:
        return Finding("warning", "cache", f"Redis: every request goes to a provider: {error}")
    return Finding("ok", "cache", f"Redis; {kept}")


def _doubts(
    subject: str, route: list[Candidate], listed: Mapping[str, frozenset[str]], costs: Costs
) -> Iterator[Finding]:
    for candidate in route:
        target = candidate.target
        if target.model not in listed.get(target.provider, {target.model}):
            yield Finding("warning", subject, f"{target.provider} does not list {target.model!r}")
        if costs.price(target, candidate.alias) is None:
            yield Finding("warning", subject, f"{target} has no price, so its cost will not be known")
