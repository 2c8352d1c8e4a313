"""Costs are exact, for every model of the catalogue and every kind of token."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import genai_prices
import pytest
from genai_prices import data_snapshot
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounting.prices import FREE, Price, Rate, catalogue, own_price
from gateway.model import Usage, usd

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
USAGES = [
    Usage(1000, 10),
    Usage(300_000, 70, cached_tokens=299_000),
    Usage(1_234_567, 7_654_321, cached_tokens=12, cache_write_tokens=34),
    Usage(100, 90, reasoning_tokens=80),
    Usage(0, 0),
]


@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_every_price_of_the_catalogue_is_its_own_rounded_up(usage: Usage) -> None:
    compared = 0
    for provider in data_snapshot.get_snapshot().providers:
        for listed in provider.models:
            model, price = provider.find_model(listed.id), catalogue().price(provider.id, listed.id, NOON)
            if model is None or price is None:
                continue
            theirs = genai_prices.Usage(
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
                cache_read_tokens=usage.cached_tokens or None,
                cache_write_tokens=usage.cache_write_tokens or None,
                output_reasoning_tokens=usage.reasoning_tokens or None,
            )
            exact = model.calc_price(theirs, provider, genai_request_timestamp=NOON).total_price
            assert price.cost(usage) == (exact * 10**9).to_integral_value(ROUND_CEILING), f"{provider.id}/{listed.id}"
            compared += 1
    assert compared > 2000


def test_cached_tokens_cost_their_own_price() -> None:
    price = catalogue().price("openai", "gpt-4o-mini")
    assert price is not None
    assert usd(price.cost(Usage(10_000, 500, cached_tokens=6_000))) == "0.00135"


def test_a_price_changes_on_its_day() -> None:
    dated = {
        price.cost(Usage(10**6, 0))
        for hour in range(24)
        if (price := catalogue().price("deepseek", "deepseek-chat", datetime(2025, 6, 1, hour, tzinfo=UTC)))
    }
    assert len(dated) > 1, "the catalogue has hours at which this model was cheaper"


def test_a_model_that_the_catalogue_does_not_price_has_no_price() -> None:
    assert catalogue().price("openai", "no-such-model") is None
    assert catalogue().price("no-such-provider", "gpt-4o-mini") is None
    assert catalogue().price("openai", "whisper-1") is None, "it is billed by the hour"


def test_a_bare_name_is_listed_for_its_own_vendor_only() -> None:
    assert catalogue().lists("openai", "gpt-4o-mini-2024-07-18")
    assert not catalogue().lists("groq", "gpt-4o-mini")


def test_the_operators_price_is_per_million_tokens_and_falls_back_to_input_and_output() -> None:
    price = own_price({"input": Decimal("0.10"), "cached_input": Decimal("0.05"), "output": Decimal("0.40")})
    assert usd(price.cost(Usage(2_000_000, 1_000_000, cached_tokens=1_000_000, reasoning_tokens=500_000))) == "0.55"


def test_a_tier_is_paid_for_all_tokens_once_the_prompt_is_larger() -> None:
    price = Price(input=Rate(10**18, ((200_000, 2 * 10**18),)), output=Rate(10**18))
    assert price.cost(Usage(200_000, 1)) == 200_001_000
    assert price.cost(Usage(200_001, 1)) == 400_003_000


def test_the_sum_is_rounded_up_once_and_not_each_part() -> None:
    third = Rate(333_333_333_333_333)  # a third of a nano-USD a token
    assert Price(input=third, output=third).cost(Usage(1, 1)) == 1
    assert Price(input=third, output=third).cost(Usage(2, 2)) == 2


def test_nothing_costs_nothing() -> None:
    assert FREE.cost(Usage(10**6, 10**6)) == 0


@given(st.integers(0, 10**15))
def test_an_amount_is_written_as_a_plain_decimal_and_reads_back_exactly(nano: int) -> None:
    text = usd(nano)
    assert Decimal(text) * 10**9 == nano
    assert "e" not in text.lower()
    assert len(text.partition(".")[2]) <= 9
