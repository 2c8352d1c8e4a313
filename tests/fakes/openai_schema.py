"""OpenAI's published request schema, as the official SDK has it, turned into a check that refuses what does not fit."""

from __future__ import annotations

import functools
from typing import Any

from openai.types import EmbeddingCreateParams
from openai.types import completion_create_params as text
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses
from pydantic import TypeAdapter, ValidationError

from tests.fakes.typed_dicts import eager

_SCHEMAS: dict[str, tuple[Any, Any]] = {
    "/v1/chat/completions": (chat.CompletionCreateParamsNonStreaming, chat.CompletionCreateParamsStreaming),
    "/v1/completions": (text.CompletionCreateParamsNonStreaming, text.CompletionCreateParamsStreaming),
    "/v1/embeddings": (EmbeddingCreateParams, EmbeddingCreateParams),
    "/v1/responses": (responses.ResponseCreateParamsNonStreaming, responses.ResponseCreateParamsStreaming),
}


@functools.cache
def _adapter(path: str, stream: bool) -> tuple[frozenset[str], TypeAdapter[Any]]:
    schema = eager(_SCHEMAS[path][stream])
    return frozenset(schema.__annotations__), TypeAdapter(schema)


def misfits(path: str, raw: bytes, body: dict[str, Any], allowed: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with a request; `allowed` names top-level fields that are not in the schema and may be there."""
    streamed = body.get("stream") is True
    known, adapter = _adapter(path, streamed)
    found = [f"unknown field {name!r}" for name in sorted(set(body) - known - allowed)]
    if not streamed and body.get("stream_options") is not None:
        found.append("stream_options without stream")
    try:
        adapter.validate_json(raw, strict=True, extra="ignore")  # further in, unknown fields pass
    except ValidationError as error:
        found += [f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors()]
    return found
