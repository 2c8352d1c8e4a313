"""What Prometheus sees: the HTTP metrics of prometheus-flask-exporter and the gateway's own."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client import values as storage
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_flask_exporter import PrometheusMetrics

from gateway import __version__
from gateway.concurrency import off_the_loop
from gateway.model import Target
from gateway.telemetry import metric_files
from gateway.telemetry.record import RequestRecord
from gateway.telemetry.sums import Sums, families

NONE, OTHER = "none", "other"  # label values: nothing to name; a name that nobody configured

_COMMITS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)  # seconds
_OURS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)  # seconds: what the gateway adds
_CALLS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # seconds: models' answers

_MOST_TENANTS = 200  # that have a label of their own

disable_created_metrics()  # a second series beside each counter, which nobody asked for
if metric_files.directory():
    storage.ValueClass = metric_files.value_class()


def degraded_counter(registry: CollectorRegistry) -> Counter:
    """The counter of failures that did not stop the gateway; Gunicorn's master has one of its own."""
    counter = Counter(
        "llm_gateway_degraded_total",
        "Times that something failed which the gateway works on without.",
        ["dependency"],
        registry=registry,
    )
    for dependency in ("cache", "configuration", "counters", "ledger", "logs"):
        counter.labels(dependency)  # Prometheus sees an increase only of what was there before
    return counter


class Metrics:
    """The gateway's counters, in a registry of their own so that two applications in one process do not meet.

    Under Gunicorn the values live in the files of `metric_files`, and any worker's `/metrics` is the sum.

    Args:
        model_label: the label of a provider's model; must have few answers, whatever clients ask for.
        tenants: their names; the first of them are labels.
    """

    def __init__(self, model_label: Callable[[str, str], str], tenants: Callable[[], Sequence[str]]) -> None:
        self._model_label = model_label
        self._tenants = tenants
        self._registry = registry = CollectorRegistry()
        self._scraping = threading.Lock()
        self._read_sums: Callable[[], Sums | None] = lambda: Sums([], [])
        self._breakers: Callable[[], Mapping[Target, bool]] = dict
        self._exporter = PrometheusMetrics.for_app_factory(path=None, export_defaults=False, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"llm_gateway_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
            return Histogram(f"llm_gateway_{name}_seconds", text, labels, registry=registry, buckets=tuple(buckets))

        self._http = _Http(registry)
        caller = ("tenant", "model", "provider")
        self._requests = _Hot(counter("requests_total", "Requests that need a key.", "endpoint", *caller, "outcome"))
        self._suspect = counter("usage_suspect_total", "Reports of more tokens than allowed.", "provider", "model")
        self._limits = counter("limit_rejections_total", "Calls without room.", "tenant", "unit", "period")
        self._shed = counter("shed_total", "Requests refused because a worker was full.", "tenant")
        self._commits = histogram("ledger_commit", "Time of a transaction of the ledger.", _COMMITS)
        self._unpriced = counter("unpriced_requests_total", "Answers of models without a price.", "model")
        self._refused = counter("auth_failures_total", "Requests without a valid credential.", "reason")
        self._cache = _Hot(counter("cache_requests_total", "How requests met the response cache.", "result"))
        self._fallbacks = counter("fallbacks_total", "Attempts at another target than the first.")
        self._retries = counter("retries_total", "Further attempts at the same target.")
        self._attempts = _Hot(counter("upstream_requests_total", "Calls of providers.", "provider", "model", "outcome"))
        self._degraded = degraded_counter(registry)
        self._duration = _Hot(
            histogram("request_duration", "Time from a request to its whole answer.", _CALLS, "endpoint")
        )
        self._first = histogram("time_to_first_token", "Time from a request to its stream's first event.", _CALLS)
        self._overhead = histogram("overhead", "The gateway's own share of a request's time.", _OURS)
        self._upstream = _Hot(histogram("upstream_duration", "Time of a provider's call.", _CALLS, "provider", "model"))
        self.inflight = Gauge(
            "llm_gateway_inflight_requests", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.queued = Gauge(
            "llm_gateway_queued_requests",
            "Requests waiting for a place.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        Gauge(
            "llm_gateway_build_info", "The running version.", ["version"], registry=registry, multiprocess_mode="max"
        ).labels(__version__).set(1)

    def init_app(self, app: Flask) -> None:
        self._exporter.init_app(app)
        self._exporter.info(
            "flask_exporter_info", "Information about the Prometheus Flask exporter", version=self._exporter.version
        )

    def show(self, read: Callable[[], Sums | None]) -> None:
        """Show the ledger's sums too. `read` gets them, or None where they cannot be read."""
        self._read_sums = read

    def show_breakers(self, breakers: Callable[[], Mapping[Target, bool]]) -> None:
        """Show of each target whether it is left alone: as all workers know it, so that any of them may tell."""
        self._breakers = breakers

    def text(self) -> bytes:
        """Everything in Prometheus' text format, all workers summed, worked out where it holds no request up."""
        directory = metric_files.directory()
        if not directory:
            return generate_latest(self._registry) + self._of_breakers() + self._of_the_ledger()
        with self._scraping:  # one at a time: several would take the interpreter from the requests between them
            return off_the_loop(lambda: _text_of_all(directory)) + self._of_breakers() + self._of_the_ledger()

    def _of_breakers(self) -> bytes:
        text = "Whether a target is left alone after failures."
        gauge = GaugeMetricFamily("llm_gateway_breaker_open", text, labels=["provider", "model"])
        for target, is_open in self._breakers().items():
            gauge.add_metric([target.provider, target.model], is_open)
        return generate_latest(_Listed([gauge]))

    def _of_the_ledger(self) -> bytes:
        """The ledger's own sums, which no kill can take anything from; nothing where it cannot be read."""
        sums = self._read_sums()
        if sums is None:
            self.degraded("ledger")
            return b""
        return off_the_loop(lambda: generate_latest(_Listed(families(sums, self._tenant_label, self._model_label))))

    def http(self, method: str, route: str, record: RequestRecord) -> None:
        """Count any response, when its headers are there. `route` is the pattern of its path."""
        self._http.count(method, route, str(record.status), record.duration_ms / 1000)

    def request(self, endpoint: str, record: RequestRecord) -> None:
        """Count a finished request.

        Args:
            endpoint: its route.
            record: what is known of it.
        """
        named = OTHER if record.requested_model else NONE
        model = self._model_label(record.provider or "", record.model) if record.model else named
        tenant = self._tenant_label(record.tenant) if record.tenant else NONE
        caller = (tenant, model, record.provider or NONE)
        self._requests.of(endpoint, *caller, record.error_code or "success").inc()
        _observe(self._duration.of(endpoint), record.duration_ms / 1000)
        _observe(self._overhead, record.overhead_seconds)
        if record.ttft_ms is not None and not record.cached:
            self._first.observe(record.ttft_ms / 1000)
        if record.cache:
            self._cache.of(record.cache).inc()

    def attempt(self, provider: str, model: str, outcome: str, seconds: float) -> None:
        """Count a call of a provider. `outcome` is `success` or an error's code."""
        label = self._model_label(provider, model)
        self._attempts.of(provider, label, outcome).inc()
        _observe(self._upstream.of(provider, label), seconds)

    def fallback(self) -> None:
        """Count an attempt at another target than the request's first."""
        self._fallbacks.inc()

    def retry(self) -> None:
        """Count another attempt at the same target."""
        self._retries.inc()

    def refused(self, reason: str) -> None:
        """Count a request without a valid credential: `missing` or `invalid`."""
        self._refused.labels(reason).inc()

    def degraded(self, dependency: str) -> None:
        """Count a failure that did not stop the gateway."""
        self._degraded.labels(dependency).inc()

    def committed(self, seconds: float) -> None:
        """Count a transaction of the ledger."""
        self._commits.observe(seconds)

    def suspect(self, target: Target) -> None:
        """Count a report of more tokens than were allowed."""
        self._suspect.labels(target.provider, self._model_label(target.provider, target.model)).inc()

    def limit_refused(self, tenant: str, unit: str, period: str) -> None:
        """Count a call that a limit had no room for."""
        self._limits.labels(self._tenant_label(tenant), unit, period).inc()

    def shed(self, tenant: str) -> None:
        """Count a request that a full worker refused."""
        self._shed.labels(self._tenant_label(tenant)).inc()

    def _tenant_label(self, tenant: str) -> str:
        return tenant if tenant in self._tenants()[:_MOST_TENANTS] else OTHER

    def unpriced(self, provider: str, model: str) -> None:
        """Count an answer without a price."""
        self._unpriced.labels(self._model_label(provider, model)).inc()


class _Hot:
    """A metric whose children are found quickly: prometheus_client makes texts of the labels, and takes a lock."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], Any] = {}

    def of(self, *labels: str) -> Any:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels)
        return child


def _observe(histogram: Any, seconds: float) -> None:
    """What `Histogram.observe` does after it has looked whether it may, and its bucket found without a walk."""
    histogram._sum.inc(seconds)
    histogram._buckets[bisect_left(histogram._upper_bounds, seconds)].inc(1)


class _Http:
    """What prometheus-flask-exporter counts by itself, under its names, for a fifth of the time."""

    def __init__(self, registry: CollectorRegistry) -> None:
        text = "Flask HTTP request duration in seconds"
        labels = ("method", "url_rule", "status")
        self._duration = _Hot(
            Histogram("flask_http_request_duration_seconds", text, labels, registry=registry, buckets=_CALLS)
        )

        def counter(name: str, text: str) -> _Hot:
            return _Hot(Counter(f"flask_http_{name}", text, ("method", "status"), registry=registry))

        self._total = counter("request_total", "Total number of HTTP requests")
        self._crashed = counter(
            "request_exceptions_total", "Total number of HTTP requests which resulted in an exception"
        )

    def count(self, method: str, route: str, status: str, seconds: float) -> None:
        _observe(self._duration.of(method, route, status), seconds)
        self._total.of(method, status).inc()
        if status == "500":
            self._crashed.of(method, status).inc()


def _text_of_all(directory: Path) -> bytes:
    """The text of all workers' files. It runs beside the event loop, and so touches no lock and no log."""
    return generate_latest(_Listed(MultiProcessCollector.merge([str(path) for path in directory.glob("*.db")])))


class _Listed:
    """Metrics as a registry lists them."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
