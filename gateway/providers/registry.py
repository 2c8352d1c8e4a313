"""From the configured providers to ones that answer."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.settings import ProviderSettings
from gateway.providers.base import Provider
from gateway.providers.offline import MessageCount, OfflineProvider, TokenCount
from gateway.providers.openai import OpenAIProvider


def build(
    providers: Mapping[str, ProviderSettings], count: TokenCount, count_messages: MessageCount
) -> dict[str, Provider]:
    """Build every configured provider, by its name. `count` and `count_messages` serve the built-in one."""
    built: dict[str, Provider] = {}
    for name, settings in providers.items():
        if settings.kind == "offline":
            built[name] = OfflineProvider(settings, count, count_messages)
        else:
            built[name] = OpenAIProvider(settings)
    return built
