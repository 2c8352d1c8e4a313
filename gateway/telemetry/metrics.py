"""What Prometheus sees: the HTTP metrics of prometheus-flask-exporter and the gateway's own."""

from __future__ import annotations

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_flask_exporter import PrometheusMetrics

from gateway import __version__

disable_created_metrics()  # a second series beside each counter, which nobody asked for


def degraded_counter(registry: CollectorRegistry) -> Counter:
    """The counter of failures that did not stop the gateway; Gunicorn's master has one of its own."""
    return Counter(
        "llm_gateway_degraded_total",
        "Times that something failed which the gateway works on without.",
        ["dependency"],
        registry=registry,
    )


class Metrics:
    """The gateway's counters, in a registry of their own so that two applications in one process do not meet.

    Under Gunicorn the values live in files of PROMETHEUS_MULTIPROC_DIR, and any worker's `/metrics` is the sum.

    Args:
        known_models: the model names that may be label values; every other name is `other`.
    """

    def __init__(self, known_models: frozenset[str]) -> None:
        self._known_models = known_models
        self.registry = CollectorRegistry()
        self.exporter = PrometheusMetrics.for_app_factory(
            path=None, group_by="url_rule", registry=self.registry, excluded_paths=["^/$"]
        )
        self._unpriced = Counter(
            "llm_gateway_unpriced_requests_total",
            "Answers of models without a price, whose cost is therefore not known.",
            ["model"],
            registry=self.registry,
        )
        Gauge(
            "llm_gateway_build_info",
            "The running version.",
            ["version"],
            registry=self.registry,
            multiprocess_mode="max",
        ).labels(__version__).set(1)

    def init_app(self, app: Flask) -> None:
        self.exporter.init_app(app)

    def text(self) -> str:
        """Everything in Prometheus' text format, all workers summed."""
        text: str = self.exporter.generate_metrics("")[0]
        return text

    def unpriced(self, model: str) -> None:
        """Count an answer without a price. `model` is `provider/model`."""
        self._unpriced.labels(model if model in self._known_models else "other").inc()
