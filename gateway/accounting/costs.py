"""What an answer costs: the operator's price of the name under `models:`, else the catalogue's of the target."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.accounting.prices import FREE, Catalogue, Price, own_price
from gateway.config import Settings
from gateway.config.vendors import VENDORS
from gateway.model import Target

log = logging.getLogger(__name__)

_OFFLINE_WINDOW = 131_072  # tokens; the built-in provider repeats what it is told
_MOST_TOLD = 1000  # names kept so as to tell of each once; a client may ask a provider for any


class Costs:
    """Prices answers, and counts and tells the operator what has no price.

    Args:
        settings: the configuration.
        catalogue: the price catalogue.
        unpriced: is told provider and model of every answer without a price.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, unpriced: Callable[[str, str], None]) -> None:
        self._kinds = {name: provider.kind for name, provider in settings.providers.items()}
        self._own = {name: own_price(model.price) for name, model in settings.models.items() if model.price is not None}
        self._catalogue = catalogue
        self._unpriced = unpriced
        self._told: set[str] = set()

    def price(self, target: Target, alias: str | None) -> Price | None:
        """The price of one answer's tokens, or None where none is known.

        Args:
            target: who answers.
            alias: the name under `models:` that led to it, or None.
        """
        if alias in self._own:
            return self._own[alias]
        kind = self._kinds[target.provider]
        if kind == "offline":
            return FREE
        provider_id = VENDORS[kind].prices
        return self._catalogue.price(provider_id, target.model) if provider_id else None

    def window(self, target: Target) -> int | None:
        """The model's context window in tokens, or None where the catalogue does not know it."""
        kind = self._kinds[target.provider]
        if kind == "offline":
            return _OFFLINE_WINDOW
        provider_id = VENDORS[kind].prices
        return self._catalogue.window(provider_id, target.model) if provider_id else None

    def tell_unpriced(self, target: Target) -> None:
        """Count an answer without a price, and tell the operator once of each model."""
        self._unpriced(target.provider, target.model)
        name = str(target)
        if name not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(name)
            log.warning("%s has no price: its cost is not known. Give it one under models: … price:", name)
