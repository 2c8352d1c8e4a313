"""OpenAI's published request schema, as the official SDK has it, turned into a check that refuses what does not fit."""

from __future__ import annotations

import collections.abc
import functools
import types
from typing import Any, Union, get_args, get_origin

import typing_extensions as te
from openai.types import EmbeddingCreateParams
from openai.types import completion_create_params as text
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses
from pydantic import ConfigDict, TypeAdapter, ValidationError

_MANY = (collections.abc.Iterable, collections.abc.Sequence)
_SCHEMAS: dict[str, tuple[Any, Any]] = {
    "/v1/chat/completions": (chat.CompletionCreateParamsNonStreaming, chat.CompletionCreateParamsStreaming),
    "/v1/completions": (text.CompletionCreateParamsNonStreaming, text.CompletionCreateParamsStreaming),
    "/v1/embeddings": (EmbeddingCreateParams, EmbeddingCreateParams),
    "/v1/responses": (responses.ResponseCreateParamsNonStreaming, responses.ResponseCreateParamsStreaming),
}


@functools.cache
def _eager(of: Any) -> Any:
    """`of` with every iterable as a list, so that what is in it is checked at once and not when somebody reads it."""
    if te.is_typeddict(of):
        return _typed_dict(of)
    origin, inner = get_origin(of), get_args(of)
    if origin is te.Literal or not inner:
        return of
    converted = tuple(_eager(part) for part in inner)
    if origin in _MANY:
        return list[converted[0]]  # type: ignore[valid-type]
    if origin in (Union, types.UnionType):
        return Union[converted]  # noqa: UP007  (of a tuple)
    return origin[converted if len(converted) > 1 else converted[0]]


def _typed_dict(of: Any) -> Any:
    fields = {}
    for name, hint in te.get_type_hints(of, include_extras=True).items():
        required = get_origin(hint) is te.Required or name in of.__required_keys__
        bare = get_args(hint)[0] if get_origin(hint) in (te.Required, te.NotRequired) else hint
        fields[name] = te.Required[_eager(bare)] if required else te.NotRequired[_eager(bare)]
    return te.TypedDict(of.__name__, fields)  # type: ignore[operator]


@functools.cache
def _adapter(path: str, stream: bool) -> tuple[frozenset[str], TypeAdapter[Any]]:
    schema = _eager(_SCHEMAS[path][stream])
    schema.__pydantic_config__ = ConfigDict(strict=True)
    return frozenset(schema.__annotations__), TypeAdapter(schema)


def misfits(path: str, raw: bytes, body: dict[str, Any], allowed: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with a request; `allowed` names top-level fields that are not in the schema and may be there."""
    streamed = body.get("stream") is True
    known, adapter = _adapter(path, streamed)
    found = [f"unknown field {name!r}" for name in sorted(set(body) - known - allowed)]
    if not streamed and body.get("stream_options") is not None:
        found.append("stream_options without stream")
    try:
        adapter.validate_json(raw, strict=True)
    except ValidationError as error:
        found += [f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in error.errors()]
    return found
