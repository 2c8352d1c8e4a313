"""A provider of Gemini's API, and requests as it gets them."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.config.secrets import Redactor, Secret
from gateway.config.settings import ProviderSettings, Timeouts
from gateway.model import ModelRequest, Operation
from gateway.providers.fitting import fitted
from gateway.providers.gemini import GeminiProvider
from tests.fakes.gemini_vendor import PROVIDER_KEY

MODEL = "gemini-2.5-flash"
HI = {"role": "user", "content": "Hi"}


def provider(base_url: str, key: str = PROVIDER_KEY, **timeouts: float) -> GeminiProvider:
    settings = ProviderSettings("up", "gemini", base_url, (Secret(key),), timeouts=Timeouts(**timeouts))
    return GeminiProvider(settings, Redactor(settings.secrets()))


def fitting(
    to: GeminiProvider, asked: dict[str, Any], model: str = MODEL, stream: bool = False, operation: Operation = "chat"
) -> ModelRequest:
    own = ModelRequest(operation, None, asked, body=orjson.dumps(asked), stream=stream)
    return fitted(own, to, model, refuse_hints=False, lenient=False)[0]
