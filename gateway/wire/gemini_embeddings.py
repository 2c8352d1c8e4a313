"""Embeddings in OpenAI's shape as Gemini makes them.

Shapes: https://ai.google.dev/api/embeddings and https://platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from gateway.model import Usage
from gateway.wire.fields import Untranslatable


def from_openai(asked: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A BatchEmbedContentsRequest.

    Args:
        asked: in OpenAI's shape.
        model: whose embeddings they are.

    Raises:
        Untranslatable: a text comes as the numbers of its tokens, which are not this model's.
    """
    given = asked["input"]
    texts = [given] if isinstance(given, str) else given
    if not all(isinstance(text, str) for text in texts):
        raise Untranslatable("input", "the numbers of tokens")
    size = {"outputDimensionality": asked["dimensions"]} if asked.get("dimensions") else {}
    return {
        "requests": [{"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **size} for text in texts]
    }


def to_openai(answer: Mapping[str, Any], model: str, usage: Usage | None, in_base64: bool) -> dict[str, Any]:
    """The embeddings.

    Args:
        answer: Google's BatchEmbedContentsResponse.
        model: that made them.
        usage: what it took, if it is known.
        in_base64: each as its numbers' bytes (32 bits, little-endian) in base64.

    Raises:
        ValueError: it is none.
    """
    try:
        vectors = [embedding["values"] for embedding in answer["embeddings"]]
        packed = [struct.pack(f"<{len(vector)}f", *vector) for vector in vectors]
    except (LookupError, TypeError, OverflowError, struct.error) as error:
        raise ValueError("no embeddings") from error
    written = [b64encode(numbers).decode() for numbers in packed] if in_base64 else vectors
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(written)]
    told = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens} if usage else None
    return {"object": "list", "data": data, "model": model, "usage": told}
