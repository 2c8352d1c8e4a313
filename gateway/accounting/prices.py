"""What a call costs, exactly: unit prices are rationals, sums are integers, and one rounding up ends in nano-USD.

The prices are genai-prices' offline catalogue under the operator's own of `models.NAME.price`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gateway.model import NANO_PER_USD, Usage

if TYPE_CHECKING:
    from genai_prices import types

_MILLION = 1_000_000
_SCALE = 10**18  # the catalogue's finest unit price has 18 decimals
_PER_NANO = _SCALE * _MILLION // NANO_PER_USD
_MEMO = 4096  # resolved names kept; a client may ask for any

# Catalogue field -> ours. Prices of media, searches and pages are left out: no text token costs by them.
_FIELDS = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
}

_OTHER_INPUTS = ("input_image_mtok",)
_KINDS = ("input", "cached_input", "cache_write", "cache_write_1h", "output", "reasoning")
_OTHER_OUTPUTS = ("output_image_mtok", "output_citation_mtok")


@dataclass(frozen=True, slots=True)
class Rate:
    """A price of one kind of token, as an integer of 10⁻¹⁸ USD per million tokens.

    Attributes:
        base: the rate of a prompt that reaches no tier.
        tiers: (tokens, rate), ascending: a prompt of more tokens than that pays this rate for all of them.
    """

    base: int
    tiers: tuple[tuple[int, int], ...] = ()

    def at(self, prompt_tokens: int) -> int:
        rate = self.base
        for start, tier in self.tiers:
            if prompt_tokens > start:
                rate = tier
        return rate

    def dearest(self, prompt_tokens: int) -> int:
        """The highest rate that a prompt of at most so many tokens can pay; a tier may be cheaper than the base."""
        return max([self.base, *(tier for start, tier in self.tiers if prompt_tokens > start)])


@dataclass(frozen=True, slots=True)
class Price:
    """The rates of one model; a kind that is None costs as its parent (`input`, `cache_write` for `cache_write_1h`, or
    `output` for reasoning).

    Attributes:
        request: a fee of each call, in 10⁻¹⁸ USD per million calls.
        other_inputs, other_outputs: of kinds that no usage tells apart, such as images; they bear on bounds alone.
    """

    input: Rate = Rate(0)
    output: Rate = Rate(0)
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    reasoning: Rate | None = None
    request: int = 0
    cache_write_1h: Rate | None = None
    other_inputs: tuple[Rate, ...] = field(default=(), compare=False)
    other_outputs: tuple[Rate, ...] = field(default=(), compare=False)

    def cost(self, usage: Usage) -> int:
        """The cost of `usage` in nano-USD, rounded up once."""
        prompt = usage.prompt_tokens
        parts = (
            (prompt - usage.cached_tokens - usage.cache_write_tokens, self.input),
            (usage.cached_tokens, self.cached_input or self.input),
            (usage.cache_write_tokens - usage.written_for_1h, self.cache_write or self.input),
            (usage.written_for_1h, self.cache_write_1h or self.cache_write or self.input),
            (usage.completion_tokens - usage.reasoning_tokens, self.output),
            (usage.reasoning_tokens, self.reasoning or self.output),
        )
        total = self.request + sum(tokens * rate.at(prompt) for tokens, rate in parts if tokens)
        return -(-total // _PER_NANO)

    def bound(self, prompt: int, completion: int) -> int:
        """The most that a call with no more tokens than these can cost, in nano-USD.

        Every token is taken at the dearest rate of its class, over all tiers that a prompt so long may reach.
        """
        taken = max(
            rate.dearest(prompt)
            for rate in (self.input, self.cached_input, self.cache_write, self.cache_write_1h, *self.other_inputs)
            if rate
        )
        given = max(rate.dearest(prompt) for rate in (self.output, self.reasoning, *self.other_outputs) if rate)
        return -(-(self.request + prompt * taken + completion * given) // _PER_NANO)

    @property
    def free(self) -> bool:
        """No call can ever cost anything."""
        rates = (*(getattr(self, kind) for kind in _KINDS), *self.other_inputs, *self.other_outputs)
        return not self.request and not any(rate.base or any(tier for _, tier in rate.tiers) for rate in rates if rate)


FREE = Price()


@lru_cache(_MEMO)
def written(price: Price) -> str:
    """The unit prices as the ledger keeps them: JSON, USD per million tokens by kind; a tier as [tokens, price]."""
    kinds = {name: getattr(price, name) for name in _KINDS}
    told: dict[str, Any] = {
        name: [_usd(rate.base), *([start, _usd(tier)] for start, tier in rate.tiers)] if rate.tiers else _usd(rate.base)
        for name, rate in kinds.items()
        if rate
    }
    return json.dumps(told | ({"request": _usd(price.request)} if price.request else {}))


def _usd(scaled: int) -> str:
    """Units of 10⁻¹⁸ USD as plain decimal USD."""
    return format(Decimal(scaled).scaleb(-18).normalize(), "f")


@dataclass(frozen=True, slots=True)
class _Dated:
    """A price and when it holds: from an instant on, or in a daily interval of UTC."""

    price: Price
    holds: Callable[[datetime], bool] | None


def own_price(per_million: Mapping[str, Decimal]) -> Price:
    """The operator's price: USD per million tokens by kind, as `models.NAME.price` has it."""
    return _of({kind: Rate(_exact(value)) for kind, value in per_million.items()})


class Catalogue:
    """genai-prices' models, by its provider id and the provider's own model name."""

    def __init__(self, providers: list[types.Provider]) -> None:
        self._all = providers
        self._providers = {provider.id: provider for provider in providers}
        self._find = lru_cache(_MEMO)(self._compile)
        self.listed = lru_cache(_MEMO)(self._listed)
        self.window = lru_cache(_MEMO)(self._window)

    def lists(self, provider_id: str, model: str) -> bool:
        """Whether the catalogue has `model` among this provider's own."""
        return self.listed(provider_id, model) is not None

    def _listed(self, provider_id: str, model: str) -> str | None:
        """The catalogue's own name of this provider's `model`, or None where it has none."""
        provider = self._providers.get(provider_id)
        found = provider.find_model(model) if provider else None
        return found.id if found else None

    def _window(self, provider_id: str, model: str) -> int | None:
        """The context window of this provider's `model` in tokens, or None where the catalogue does not have it."""
        provider = self._providers.get(provider_id)
        found = provider.find_model(model, all_providers=self._all) if provider else None
        return found.context_window if found else None

    def price(self, provider_id: str, model: str, now: datetime | None = None) -> Price | None:
        """The price in force at `now` (UTC), or None where the catalogue has none."""
        dated = self._find(provider_id, model)
        if not dated:
            return None
        for candidate in dated[1:]:
            if candidate.holds is None or candidate.holds(now or datetime.now(UTC)):
                return candidate.price
        return dated[0].price

    def _compile(self, provider_id: str, model: str) -> tuple[_Dated, ...]:
        """The model's prices: first the one where no other holds, then the others, the strongest first."""
        provider = self._providers.get(provider_id)
        found = provider.find_model(model, all_providers=self._all) if provider else None
        if found is None:
            return ()
        if not isinstance(found.prices, list):
            dated = [_Dated(_price(found.prices), None)]
        else:
            dated = [
                _Dated(_price(entry.prices), entry.constraint.active if entry.constraint else None)
                for entry in found.prices
            ]
        dated = [dated[0], *reversed(dated)]
        return tuple(dated) if any(_costs(entry.price) for entry in dated) else ()


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The bundled catalogue, read once a process; the master reads it before it forks."""
    from genai_prices import data_snapshot

    return Catalogue(data_snapshot.get_snapshot().providers)


def _price(found: types.ModelPrice) -> Price:
    rates = {ours: _rate(value) for name, ours in _FIELDS.items() if (value := getattr(found, name)) is not None}
    per_thousand_calls = found.requests_kcount
    fee = _exact(per_thousand_calls) * 1000 if isinstance(per_thousand_calls, Decimal) else 0
    others = [
        tuple(_rate(value) for name in names if (value := getattr(found, name)) is not None)
        for names in (_OTHER_INPUTS, _OTHER_OUTPUTS)
    ]
    return replace(_of(rates, fee), other_inputs=others[0], other_outputs=others[1])


def _of(rates: Mapping[str, Rate], fee: int = 0) -> Price:
    free = Rate(0)
    return Price(
        input=rates.get("input", free),
        output=rates.get("output", free),
        cached_input=rates.get("cached_input"),
        cache_write=rates.get("cache_write"),
        cache_write_1h=rates.get("cache_write_1h"),
        reasoning=rates.get("reasoning"),
        request=fee,
    )


def _rate(value: Decimal | types.TieredPrices) -> Rate:
    if isinstance(value, Decimal):
        return Rate(_exact(value))
    return Rate(_exact(value.base), tuple((tier.start, _exact(tier.price)) for tier in value.tiers))


def _exact(usd: Decimal) -> int:
    """`usd` in units of 10⁻¹⁸ USD. Raises ValueError where it is finer than that."""
    scaled = usd.scaleb(18)
    if scaled != int(scaled):
        raise ValueError(f"a price of {usd} USD has more than 18 decimals")
    return int(scaled)


def _costs(price: Price) -> bool:
    """Whether the catalogue gives any price for tokens; some entries are empty."""
    return price != FREE
