"""The ledger's sums as Prometheus shows them: whole numbers, divided once on output, that outlive kills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.model import NANO_PER_USD

KINDS = ("prompt", "cached", "cache_write", "completion", "reasoning")


@dataclass(frozen=True, slots=True)
class Total:
    """What one tenant has bought of one model. `tokens` are in the order of KINDS."""

    tenant: str
    model: str
    provider: str
    cost_nano: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """A tenant's limit in USD, in nano-USD."""

    tenant: str
    period: str
    limit: int
    spent: int
    held: int


@dataclass(frozen=True, slots=True)
class Sums:
    totals: list[Total]
    budgets: list[Budget]


def families(
    sums: Sums, tenant_label: Callable[[str], str], model_label: Callable[[str, str], str]
) -> Iterator[Metric]:
    """The metrics of `sums`.

    Args:
        sums: as the ledger has them.
        tenant_label, model_label: the labels of a tenant, and of a provider's model; several may have the same.
    """
    caller = ["tenant", "model", "provider"]
    tokens = CounterMetricFamily(
        "llm_gateway_tokens", "Tokens bought, by kind; cached and cache_write are prompt too.", labels=[*caller, "kind"]
    )
    cost = CounterMetricFamily("llm_gateway_cost_usd", "What answers cost, in USD.", labels=caller)
    by_label: dict[tuple[str, str, str], list[int]] = {}
    for total in sums.totals:
        labels = (tenant_label(total.tenant), model_label(total.provider, total.model), total.provider)
        added = by_label.setdefault(labels, [0] * (len(KINDS) + 1))
        for place, amount in enumerate((*total.tokens, total.cost_nano)):
            added[place] += amount
    for labels, (*counts, nano) in by_label.items():
        for kind, count in zip(KINDS, counts, strict=True):
            if count:
                tokens.add_metric([*labels, kind], count)
        if nano:
            cost.add_metric(labels, nano / NANO_PER_USD)
    yield tokens
    yield cost
    yield _budgets(budget for budget in sums.budgets if tenant_label(budget.tenant) == budget.tenant)


def _budgets(budgets: Iterable[Budget]) -> Metric:
    family = GaugeMetricFamily(
        "llm_gateway_budget_usd", "A tenant's limits in USD.", labels=["tenant", "period", "state"]
    )
    for budget in budgets:
        for state in ("limit", "spent", "held"):
            family.add_metric([budget.tenant, budget.period, state], getattr(budget, state) / NANO_PER_USD)
    return family
