"""Which targets answer for a model's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from gateway.config.schema import OFFLINE
from gateway.config.secrets import Redactor
from gateway.config.settings import ConfigError, ModelSettings, Settings
from gateway.config.vendors import VENDORS
from gateway.errors import ModelNotFound
from gateway.model import Target

_DIRECT = ModelSettings(targets=())
_REMEMBERED = 256  # names that were asked for
_NAME = re.compile(r"[!-~]{1,256}")  # goes into headers and logs, and no vendor names a model otherwise


class Lists(Protocol):
    """What the router asks of the price catalogue."""

    def lists(self, provider_id: str, model: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target, and what led to it.

    Attributes:
        alias: the name under `models:`; None where the client named the target itself.
        names: all names that limits of this call's model may have: as resolved, and of the fallback that it is.
        tier: those of a lower one come first.
        weight: how often it leads its tier.
    """

    target: Target
    alias: str | None = None
    names: tuple[str, ...] = ()
    tier: int = 0
    weight: int = 1

    def __str__(self) -> str:
        return f"{self.alias or ''} {self.target}"  # no name holds a space


class Router:
    """Resolves model names in the order: `models:`, then `provider/model`, then the catalogue's bare names.

    Args:
        settings: the configuration.
        catalogue: says which bare names a provider's catalogue lists.
    """

    def __init__(self, settings: Settings, catalogue: Lists) -> None:
        self._default = settings.default_model
        self._default_from = settings.default_model_from
        self._models: Mapping[str, ModelSettings] = settings.models
        self._providers = settings.providers
        self._unconfigured = settings.unconfigured
        self._catalogue = catalogue
        self._redactor = Redactor(settings.secrets)
        self._remembered = lru_cache(_REMEMBERED)(self._candidates)  # nobody changes what it gives

    def check(self) -> None:
        """Raise ConfigError unless the default model exists."""
        try:
            self.candidates(None)
        except ModelNotFound:
            providers = ", ".join(self._providers)
            line = (
                f"{self._default_from}: there is no model {self._default!r}. It may be a name under 'models:', "
                f"'provider/model' (providers: {providers}), or a model that a provider's price list knows"
            )
            raise ConfigError([self._redactor.text(line)]) from None

    def candidates(self, name: str | None) -> list[Candidate]:
        """The targets for `name`: its own by priority, then its fallback models'.

        Args:
            name: what the client asked for; None is the default model.

        Raises:
            ModelNotFound: no such model.
        """
        return self._remembered(name or self._default)

    def _candidates(self, name: str) -> list[Candidate]:
        model = self._models.get(name)
        if model is None:
            return [self._direct(name)]
        found = list(self._of_model(name, model))
        for other in model.fallback:
            fallback = self._models.get(other)
            others = list(self._of_model(other, fallback)) if fallback else [self._direct(other)]
            later = found[-1].tier + 1
            found += [
                replace(candidate, names=(name, *candidate.names), tier=later + candidate.tier) for candidate in others
            ]
        return found

    def settings(self, name: str | None) -> ModelSettings:
        """How calls of `name` are made, whether it is one of `models:` or not."""
        return self._models.get(name or self._default, _DIRECT)

    def asked_for(self, name: str | None) -> tuple[str, ...]:
        """The names under which a key may be allowed what asks for `name`, whether there is such a model or not."""
        name = name or self._default
        target = None if name in self._models else self._found(name)
        if target is None:
            return (name,)
        bare = target.model
        same = bare not in self._models and self._found(bare) == target
        return name, str(target), *([bare] if same else [])

    def names(self) -> list[str]:
        """The models that clients are told of: the file's, the default, and the built-in one where it is there."""
        offline = [f"{name}/echo" for name, provider in self._providers.items() if provider.kind == OFFLINE]
        return list(dict.fromkeys([*self._models, self._default, *offline]))

    def _of_model(self, name: str, model: ModelSettings) -> Iterator[Candidate]:
        for target in sorted(model.targets, key=lambda target: target.priority):
            of_provider = Target(target.provider, target.model)
            yield Candidate(of_provider, name, (name,), target.priority, target.weight)

    def _direct(self, name: str) -> Candidate:
        """A target that the client names itself, with or without its provider."""
        target = self._target(name)
        names = [str(target), target.model, name]
        if self._providers[target.provider].kind == OFFLINE:  # whose names take options
            names.append(str(target).partition("?")[0])
        return Candidate(target, names=tuple(dict.fromkeys(names)))

    def _found(self, name: str) -> Target | None:
        try:
            return self._target(name)
        except ModelNotFound:
            return None

    def _target(self, name: str) -> Target:
        if _NAME.fullmatch(name):
            provider, slash, model = name.partition("/")
            if slash and model and provider in self._providers:
                return Target(provider, model)
            for candidate, settings in self._providers.items():
                vendor = VENDORS.get(settings.kind)
                if vendor and vendor.prices and self._catalogue.lists(vendor.prices, name):
                    return Target(candidate, name)
            if self._unconfigured and not slash:
                return Target("offline", "echo")
        raise ModelNotFound(
            f"The model {name[:100]!r} does not exist here. GET /v1/models lists names that do; 'provider/model' with "
            "one of the gateway's providers works too.",
            param="model",
        )
