"""Every model of genai-prices' catalogue costs here what genai-prices computes, rounded up once; nothing is left out.

Both sides are told the five kinds of token that our `Usage` knows. What genai-prices could tell apart beyond those is
not compared, as no answer of ours can report it: media, searches and pages, cache writes that live for an hour, and the
variants of a price by service tier or batch, which it computes only where a `price_context` is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import ROUND_CEILING, Context, DivisionByZero, Inexact, InvalidOperation, localcontext
from functools import cache
from itertools import product, starmap
from typing import Any

import genai_prices
import pytest
from genai_prices import data_snapshot, types
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounting.prices import FREE, Price, Rate, catalogue
from gateway.model import Usage

PROVIDERS = data_snapshot.get_snapshot().providers
EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, DivisionByZero])  # genai-prices is to round nothing either
TOKENS = ("input", "cache_read", "cache_write", "cache_write_1h", "output", "output_reasoning")
INSTANT, TODAY = timedelta(microseconds=1), datetime(2026, 11, 23, tzinfo=UTC)
SIZES = st.integers(0, 2_000_000)

for_each_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
some_examples = settings(max_examples=20, deadline=None)  # each is the provider's every model


@dataclass(frozen=True)
class Listed:
    """A model of the catalogue: a name by which its provider has it, and the sizes and moments about its borders."""

    provider: types.Provider
    model: types.ModelInfo
    name: str
    priced: bool
    sizes: frozenset[int]
    moments: frozenset[datetime]

    def price(self, moment: datetime) -> Price:
        """Ours. It is None where the catalogue has a price for no kind of token; genai-prices then computes 0."""
        found = catalogue().price(self.provider.id, self.name, moment)
        assert (found is not None) == self.priced, self.name
        return found or FREE

    def theirs(self, usage: Usage, moment: datetime) -> int:
        told = genai_prices.Usage(
            input_tokens=usage.prompt_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.written_for_1h,
            output_tokens=usage.completion_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        )
        found = genai_prices.calc_price(told, self.name, provider_id=self.provider.id, genai_request_timestamp=moment)
        assert found.model is self.model
        return int((found.total_price * 10**9).to_integral_value(ROUND_CEILING))


@cache
def listed(provider_id: str) -> list[Listed]:
    return [_read(provider, model) for provider in PROVIDERS if provider.id == provider_id for model in provider.models]


def _read(provider: types.Provider, model: types.ModelInfo) -> Listed:
    # 85 ids are no names, aws' "regional.…" for one: a text of the model's own clause leads to it, or this fails.
    name = next(name for name in (model.id, *_texts(model.match)) if provider.find_model(name) is model)
    dated = model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
    fields = [*(f"{kind}_mtok" for kind in TOKENS), "requests_kcount"]
    prices = [price for entry in dated for field in fields if (price := getattr(entry.prices, field)) is not None]
    starts = {tier.start for price in prices if isinstance(price, types.TieredPrices) for tier in price.tiers}
    changes = {moment for entry in dated for moment in _changes(entry.constraint)}
    sizes = frozenset(start + beside for start in starts for beside in (-1, 0, 1))
    moments = frozenset(change + beside for change in changes for beside in (-INSTANT, 0 * INSTANT, INSTANT))
    return Listed(provider, model, name, bool(prices), sizes, moments)


def _texts(clause: Any) -> Iterator[str]:
    for part in vars(clause).values():
        yield from [part] if isinstance(part, str) else (text for inner in part for text in _texts(inner))


def _changes(constraint: Any) -> list[datetime]:
    if isinstance(constraint, types.StartDateConstraint):
        return [datetime.combine(constraint.start_date, time(), UTC)]
    if isinstance(constraint, types.TimeOfDateConstraint):
        return [datetime.combine(TODAY, at, at.tzinfo or UTC) for at in (constraint.start_time, constraint.end_time)]
    assert constraint is None, "the catalogue has a new kind of condition: when does it change?"
    return []


def corners(prompt: int, completion: int) -> list[Usage]:
    """All tokens of one kind, in every pair of kinds, and a mixture."""
    pairs = [(0, 0), (prompt, 0), (0, prompt)]
    pure = [Usage(prompt, completion, *pair, reasoning) for pair in pairs for reasoning in (0, completion)]
    for_1h = [Usage(prompt, completion, 0, prompt, written_for_1h=part) for part in (prompt, prompt // 5)]
    return [*pure, *for_1h, Usage(prompt, completion, prompt // 3, prompt // 4, completion // 2)]


@st.composite
def any_call(draw: st.DrawFn, provider: types.Provider) -> tuple[Usage, datetime]:
    """The parts are never more than their whole: genai-prices refuses that, and the gateway cuts what it is told."""
    entries = listed(provider.id)
    prompt = draw(SIZES | st.sampled_from([0, 1, *sorted(set().union(*(entry.sizes for entry in entries)))]))
    completion, cached = draw(SIZES), draw(st.integers(0, prompt))
    written, reasoning = draw(st.integers(0, prompt - cached)), draw(st.integers(0, completion))
    for_1h = draw(st.integers(0, written))
    zone = timezone(timedelta(hours=draw(st.integers(-12, 14))))
    days = st.datetimes(datetime(2022, 1, 1), datetime(2028, 1, 1), timezones=st.just(zone))
    moment = draw(days | st.sampled_from([TODAY, *sorted(set().union(*(entry.moments for entry in entries)))]))
    usage = Usage(prompt, completion, cached, written, reasoning, written_for_1h=for_1h)
    return usage, moment.astimezone(zone)


def test_every_model_costs_what_genai_prices_computes_at_each_border_of_its_tiers_and_dates() -> None:
    compared = set()
    with localcontext(EXACT):
        for entry in (entry for provider in PROVIDERS for entry in listed(provider.id)):
            for moment in entry.moments or {TODAY}:
                ours = entry.price(moment)
                for usage in (usage for size in {0, 1000, *entry.sizes} for usage in corners(size, 777)):
                    assert ours.cost(usage) == entry.theirs(usage, moment), (entry.name, usage, moment)
            compared.add((entry.provider.id, entry.model.id))
    assert len(compared) == sum(len(provider.models) for provider in PROVIDERS) > 2000


@for_each_provider
@some_examples
@given(data=st.data())
def test_any_call_at_any_time_costs_what_genai_prices_computes(provider: types.Provider, data: st.DataObject) -> None:
    usage, moment = data.draw(any_call(provider))
    with localcontext(EXACT):
        ours = {entry.model.id: entry.price(moment).cost(usage) for entry in listed(provider.id)}
        assert ours == {entry.model.id: entry.theirs(usage, moment) for entry in listed(provider.id)}
    assert len(ours) == len(provider.models)


@for_each_provider
@some_examples
@given(data=st.data(), longer=st.just(0) | SIZES, wordier=st.just(0) | SIZES)
def test_no_call_costs_more_than_the_bound_of_its_size_nor_that_more_than_the_bound_of_a_larger_one(
    provider: types.Provider, data: st.DataObject, longer: int, wordier: int
) -> None:
    usage, moment = data.draw(any_call(provider))
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    for price in (prices := [entry.price(moment) for entry in listed(provider.id)]):
        bound, larger = price.bound(prompt, completion), price.bound(prompt + longer, completion + wordier)
        assert price.cost(usage) <= bound
        assert bound <= price.bound(prompt + longer, completion) <= larger
        assert bound <= price.bound(prompt, completion + wordier) <= larger
    assert len(prices) == len(provider.models)


def test_a_model_of_the_catalogue_is_free_if_and_only_if_no_call_costs_anything() -> None:
    for entry in (entry for provider in PROVIDERS for entry in listed(provider.id)):
        for price in {entry.price(moment) for moment in entry.moments | {TODAY}}:
            calls = [call for size in {1, *entry.sizes} for call in corners(size, 1)]
            assert price.free == (not any(price.cost(call) for call in calls)), entry.name


def made_up(order: Callable[[list[int]], list[int]] = list) -> st.SearchStrategy[Price]:
    """Prices with the tiers that the catalogue might have tomorrow, in whole nano-USD: a rounding hides no difference."""
    amounts = st.integers(0, 9).map(lambda nano: nano * 10**15)
    several = st.lists(amounts, min_size=1, max_size=4).map(order)
    rates = several.map(lambda found: Rate(found[0], tuple(zip((2, 5, 9), found[1:], strict=False))))
    return st.builds(Price, rates, rates, *[st.none() | rates] * 3, amounts)


@settings(max_examples=300)
@given(made_up(), st.integers(0, 12), st.integers(0, 3))
def test_the_bound_holds_where_a_longer_prompt_is_cheaper_too(price: Price, prompt: int, completion: int) -> None:
    within = [call for size in range(prompt + 1) for call in corners(size, completion)]
    assert max(price.cost(call) for call in within) <= price.bound(prompt, completion)


@settings(max_examples=300)
@given(made_up(sorted), st.integers(0, 12), st.integers(0, 3))
def test_the_bound_is_what_the_dearest_call_costs_where_no_tier_is_cheaper_than_the_one_before(
    price: Price, prompt: int, completion: int
) -> None:
    assert price.bound(prompt, completion) == max(price.cost(call) for call in corners(prompt, completion))


def test_the_bound_keeps_to_the_tiers_that_the_prompt_may_reach() -> None:
    price = Price(input=Rate(3 * 10**18, ((200_000, 6 * 10**18), (500_000, 10**18))), request=10**18)
    bounds = {200_000: 600_001_000, 200_001: 1_200_007_000, 500_001: 3_000_007_000}
    assert {size: price.bound(size, 0) for size in bounds} == bounds, "USD 3, then 6, and 6 though the last tier asks 1"


def test_any_price_is_free_if_and_only_if_no_call_costs_anything() -> None:
    rates = [Rate(0), Rate(1), Rate(0, ((5, 0),)), Rate(0, ((5, 1),))]
    for price in starmap(Price, product(*[rates] * 5, (0, 1))):
        assert price.free == (not any(price.cost(call) for size in (1, 6) for call in corners(size, 1))), price
