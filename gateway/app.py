"""The composition root: everything is built here, from the settings, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Flask

from gateway.accounting import prices, tokens
from gateway.accounting.bounds import Bounds
from gateway.accounting.costs import Costs
from gateway.accounting.keeper import Keeper
from gateway.accounting.ledger import Ledger
from gateway.accounting.reports import summary
from gateway.admission.failover import Failover
from gateway.admission.limiter import Limiter
from gateway.api import anthropic, docs, errors, health, hooks, inference, models, openai, usage
from gateway.api import metrics as metrics_api
from gateway.api.gate import Gate
from gateway.api.lean import LeanFlask
from gateway.auth.guesses import Guesses
from gateway.auth.keys import Keys
from gateway.cache import responses
from gateway.cache.responses import ResponseCache
from gateway.config import ConfigError, Settings, snapshot
from gateway.config.schema import OFFLINE
from gateway.config.vendors import VENDORS
from gateway.errors import GatewayError
from gateway.model import State
from gateway.policy.directory import Directory
from gateway.policy.places import Places
from gateway.providers import registry
from gateway.providers.base import Provider
from gateway.routing.board import Board
from gateway.routing.breakers import Breakers
from gateway.routing.budget import RetryBudget
from gateway.routing.credentials import Credentials
from gateway.routing.router import Router
from gateway.routing.targets import Targets
from gateway.services.books import Books, tell_overrun
from gateway.services.counting import Counting
from gateway.services.health import Health
from gateway.services.holds import Holds
from gateway.services.inference import Inference
from gateway.services.route import Routing
from gateway.services.standings import Standings
from gateway.stores import StoreError
from gateway.stores.cells.failover import FailoverCells
from gateway.stores.cells.opening import open_cells
from gateway.stores.counters.opening import open_counters
from gateway.stores.ledger.opening import open_ledger
from gateway.telemetry.logs import LogFile
from gateway.telemetry.metrics import OTHER, Metrics
from gateway.telemetry.sums import Sums

# Among the application's extensions.
LEDGER, COUNTERS, DIRECTORY, KEEPER, BOARD, PLACES = "ledger", "counters", "directory", "keeper", "board", "places"


def create_app(settings: Settings) -> Flask:
    """Build the service.

    Args:
        settings: the configuration; see `gateway.config.load`.

    Returns:
        The WSGI application.

    Raises:
        ConfigError: a provider cannot be built, or the default model or a model of the built-in one does not exist.
    """
    app = LeanFlask("gateway", static_folder=None)
    app.url_map.merge_slashes = False  # one spelling of a path; the redirect to it would be HTML
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes  # a second bound; `api.body` counts for itself
    catalogue = prices.catalogue()
    counter = tokens.load(settings.tokenizer_dir)
    router = Router(settings, catalogue)
    router.check()
    label = _model_label(settings, catalogue)
    metrics = Metrics(label, tenants=lambda: directory.tenants())
    board = Board(
        FailoverCells(open_cells(settings.redis_url, settings.data_dir), lambda: metrics.degraded("counters"))
    )
    watched = _watched(settings, label)
    breakers = Breakers(board, settings.breaker, watched)
    metrics.show_breakers(lambda: {target: not breaker.closed for target, breaker in breakers.all().items()})
    credentials = Credentials(settings.providers, board, watched)
    targets = Targets(settings.providers, breakers, credentials, most=lambda: places.most)
    state = Health(_checks(settings, counter.exact), targets.states)
    ledger = _ledger(settings, metrics, state)
    directory = Directory(ledger.read)
    counters = Failover(
        open_counters(settings.redis_url, settings.data_dir),
        share=lambda: settings.workers,
        failed=lambda: metrics.degraded("counters"),
        state=state.counters,
    )
    limiter = Limiter(counters, directory.limits, tell_overrun)
    holds = Holds(limiter, settings.help_url, metrics.limit_refused, settings.overload.limit_wait_seconds)
    costs = Costs(settings, catalogue, metrics.unpriced)
    caps = {name: model.max_output_tokens for name, model in settings.models.items() if model.max_output_tokens}
    providers = registry.build(settings.providers, counter.count, counter.count_prompt)
    _check_built_in(router, providers, settings)
    counting = Counting(router, providers, targets, counter)
    service = Inference(
        router,
        providers,
        ResponseCache(
            responses.backend(app, settings.data_dir, settings.redis_url),
            settings.cache_ttl,
            failed=lambda: metrics.degraded("cache"),
            state=state.cache,
        ),
        Books(ledger, holds, Bounds(caps, costs.window, counter), costs, counter, metrics, settings.log_prompts),
        Routing(targets, RetryBudget(board, settings.retry.budget_percent), settings.retry, metrics),
    )
    app.extensions[LEDGER] = ledger
    app.extensions[COUNTERS] = counters
    app.extensions[DIRECTORY] = directory
    app.extensions[BOARD] = board
    app.extensions[KEEPER] = Keeper(ledger, settings.keep_days, failed=lambda: state.ledger(works=False))

    LogFile.failed = staticmethod(lambda: metrics.degraded("logs"))
    metrics.init_app(app)
    keys = Keys(settings.api_keys, directory.key)
    hooks.install(app, settings, keys, Guesses(counters), metrics)
    errors.install(app)
    app.register_blueprint(health.blueprint(state))
    app.register_blueprint(inference.blueprint(service, settings.max_body_bytes))
    app.register_blueprint(openai.blueprint(service, settings.max_body_bytes))
    app.register_blueprint(models.blueprint(router))
    app.register_blueprint(anthropic.blueprint(service, counting, settings.max_body_bytes))
    app.register_blueprint(usage.blueprint(Standings(ledger, counters, directory)))
    app.register_blueprint(metrics_api.blueprint(metrics))
    app.register_blueprint(docs.blueprint())
    overload = settings.overload
    queue = overload.max_in_flight // 10 if overload.max_queue is None else overload.max_queue
    places = app.extensions[PLACES] = Places(overload.max_in_flight, queue, overload.queue_seconds)
    posts = [rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    asked = [path for path in posts if path.startswith(("/inference", "/v1/"))]
    app.wsgi_app = Gate(app.wsgi_app, asked, places, keys, metrics, settings.trusted_proxies)  # type: ignore[method-assign]
    return app


def _checks(settings: Settings, exact_tokens: bool) -> dict[str, State]:
    """What readiness tells before anything is known."""
    checks: dict[str, State] = {"ledger": "ok", "counters": "ok", "tokenizers": "ok" if exact_tokens else "degraded"}
    checks["configuration"] = "degraded" if snapshot.reload_error else "ok"
    if settings.cache_ttl:
        checks["cache"] = "ok"
    return checks


def _ledger(settings: Settings, metrics: Metrics, state: Health) -> Ledger:
    def committed(seconds: float | None) -> None:
        state.ledger(works=seconds is not None)
        if seconds is None:
            metrics.degraded("ledger")
        else:
            metrics.committed(seconds)

    database, owners = open_ledger(settings.database_url, settings.data_dir)
    ledger = Ledger(database, owners, settings.help_url, committed)

    def sums() -> Sums | None:
        try:
            return ledger.read(summary)
        except StoreError:
            return None

    metrics.show(sums)
    return ledger


def _check_built_in(router: Router, providers: Mapping[str, Provider], settings: Settings) -> None:
    """Refuse a configured model that the built-in provider does not have; any other provider is not asked at start."""
    for name in (settings.default_model, *settings.models):
        for target in [candidate.target for candidate in router.candidates(name)]:
            if settings.providers[target.provider].kind == OFFLINE:
                try:
                    providers[target.provider].check([target.model])
                except GatewayError as error:
                    raise ConfigError([f"model {name}: {error.message}"]) from None


def _watched(settings: Settings, label: Callable[[str, str], str]) -> Callable[[str, str], str | None]:
    """The label of a provider's model, but for failures that a client orders from the built-in one, and for providers
    that other workers still have."""

    def labelled(provider: str, model: str) -> str | None:
        if provider not in settings.providers:
            return None
        found = label(provider, model)
        return None if found == OTHER and settings.providers[provider].kind == OFFLINE else found

    return labelled


def _model_label(settings: Settings, catalogue: prices.Catalogue) -> Callable[[str, str], str]:
    """The metrics' label of a provider's model: a name of the configuration or of the price catalogue, or `other`."""
    configured = {f"{target.provider}/{target.model}" for model in settings.models.values() for target in model.targets}
    configured |= {settings.default_model, *(other for model in settings.models.values() for other in model.fallback)}
    configured |= {f"{name}/echo" for name, provider in settings.providers.items() if provider.kind == OFFLINE}
    vendors = {name: VENDORS.get(provider.kind) for name, provider in settings.providers.items()}

    def label(provider: str, model: str) -> str:
        if f"{provider}/{model}" in configured:
            return model
        vendor = vendors.get(provider)
        listed = catalogue.listed(vendor.prices, model) if vendor and vendor.prices else None
        return listed or OTHER

    return label
