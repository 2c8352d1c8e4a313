"""From the configured providers to ones that answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.config.secrets import Redactor
from gateway.config.settings import ConfigError, ProviderSettings
from gateway.config.vendors import VENDORS
from gateway.providers.anthropic import AnthropicProvider
from gateway.providers.base import Provider
from gateway.providers.echo import PromptCount, TokenCount
from gateway.providers.gemini import GeminiProvider
from gateway.providers.offline import OfflineProvider
from gateway.providers.openai import OpenAIProvider
from gateway.wire.fields import ApiName

OF_API: dict[ApiName, Callable[[ProviderSettings, Redactor], Provider]] = {
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
    "gemini": GeminiProvider,
}


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
                built[name] = OF_API[VENDORS[settings.kind].api.name](settings, redactor)
            except ValueError as error:  # requests' word on an address or a header; its text may quote a secret
                raise ConfigError([f"providers.{name}: cannot be called: {type(error).__name__}"]) from None
    return built
