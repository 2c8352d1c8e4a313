"""From the configured providers to ones that answer."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.secrets import Redactor
from gateway.config.settings import ConfigError, ProviderSettings
from gateway.providers.base import Provider
from gateway.providers.echo import PromptCount, TokenCount
from gateway.providers.offline import OfflineProvider
from gateway.providers.openai import OpenAIProvider


def build(
    providers: Mapping[str, ProviderSettings], count: TokenCount, count_prompt: PromptCount
) -> dict[str, Provider]:
    """Build every configured provider, by its name. `count` and `count_prompt` serve the built-in one.

    Raises:
        ConfigError: an address or a header that no call can be made with.
    """
    redactor = Redactor(secret for settings in providers.values() for secret in settings.secrets())
    built: dict[str, Provider] = {}
    for name, settings in providers.items():
        if settings.kind == "offline":
            built[name] = OfflineProvider(settings, count, count_prompt)
        else:
            try:
                built[name] = OpenAIProvider(settings, redactor)
            except ValueError as error:  # requests' word on an address or a header; its text may quote a secret
                raise ConfigError([f"providers.{name}: cannot be called: {type(error).__name__}"]) from None
    return built
