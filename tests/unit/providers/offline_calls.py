"""Asking the built-in provider, with the tokens of a real tokenizer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import tiktoken

from gateway.config.settings import OfflineSettings, ProviderSettings, Timeouts
from gateway.errors import ProviderRefused
from gateway.model import Completion, ModelRequest, Operation
from gateway.providers.base import Call
from gateway.providers.echo import said_last
from gateway.providers.offline import OfflineProvider, OfflineStream

Json = dict[str, Any]

TOKENIZERS = Path(sys.prefix, "share", "llm-gateway", "tokenizers")
FRAME = 6  # tokens around a prompt


def counter() -> Callable[[str], int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(TOKENIZERS))
        encoding = tiktoken.get_encoding("o200k_base")
    return lambda text: len(encoding.encode_ordinary(text))


count = counter()


def count_prompt(request: ModelRequest) -> int:
    return FRAME + count(str(said_last(request)))


def provider(total: float = 600, **behaviour: Any) -> OfflineProvider:
    settings = ProviderSettings(
        "offline", "offline", timeouts=Timeouts(total=total), offline=OfflineSettings(**behaviour)
    )
    return OfflineProvider(settings, count, count_prompt)


def call(seconds: float = 5, **changes: Any) -> Call:
    return Call("c", 1, time.monotonic() + seconds, **changes)


def asking(operation: Operation, asked: Mapping[str, Any]) -> ModelRequest:
    return ModelRequest(operation, None, asked)


def saying(prompt: str, /, **asked: Any) -> ModelRequest:
    return asking("chat", {"messages": [{"role": "user", "content": prompt}], **asked})


def complete(request: ModelRequest, model: str = "echo") -> Completion:
    return provider().complete(request, model, call())


def stream(request: ModelRequest, model: str = "echo") -> OfflineStream:
    return provider().stream(request, model, call())


def body(request: ModelRequest, model: str = "echo") -> Json:
    found: Json = orjson.loads(complete(request, model).body)
    return found


def message(request: ModelRequest, model: str = "echo") -> Json:
    """What the only choice says."""
    [choice] = body(request, model)["choices"]
    found: Json = choice["message"]
    return found


def refusal(request: ModelRequest) -> Json:
    """The error in OpenAI's shape that answers a request that cannot be."""
    with pytest.raises(ProviderRefused) as caught:
        complete(request)
    assert caught.value.status == 400
    error: Json = orjson.loads(caught.value.body)["error"]
    assert error["type"] == "invalid_request_error"
    return error
