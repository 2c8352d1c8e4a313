"""Which conversation a request belongs to, and the order of targets that follows from it: no worker need remember it,
and a target that goes or comes moves only the conversations that are its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TypeVar

import orjson

from gateway.model import ModelRequest

T = TypeVar("T")

_PROMPT = 1024  # characters of a prompt without messages, which grows at its end, that tell it from others
_random = random.Random()  # noqa: S311 - spreads load, guards nothing


def conversation(tenant: str, named: str | None, request: ModelRequest, affinity: str | None) -> str | None:
    """A name of the request's conversation; None where it is to be no part of any.

    Args:
        tenant: who pays.
        named: the conversation, as a header names it.
        request: what is asked.
        affinity: "none", "session" or None, as the model's settings have it.
    """
    if affinity == "none":
        return None
    name = named or request.conversation
    if name is None and affinity == "session":
        name = _beginning(request)
    return None if name is None else f"{tenant} {name}"


def ranked(items: Iterable[T], weight: Callable[[T], int], conversation: str | None) -> list[T]:
    """The items in an order in which each leads as often as its weight says (Efraimidis and Spirakis, 2006): by chance,
    or the same one for a conversation each time (rendezvous hashing, Thaler and Ravishankar, 1998).

    Args:
        items: what to order; their texts tell them apart.
        weight: of an item, at least 1.
        conversation: whose order it is; None for any.
    """
    found = list(items)
    if len(found) < 2:
        return found
    return sorted(found, key=lambda item: _draw(conversation, item) ** (1 / weight(item)), reverse=True)


def _draw(conversation: str | None, item: object) -> float:
    """A number from 0 to 1."""
    if conversation is None:
        return _random.random()
    digest = blake2b(f"{item} {conversation}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _beginning(request: ModelRequest) -> str | None:
    """A digest of what stays the same in a conversation: all up to the first words of its user."""
    if request.operation == "embeddings":
        return None
    if request.operation == "chat":
        first: list[object] = []
        for message in request.asked["messages"]:
            if message.get("role") == "user":
                first.append(message if request.body is not None else message["content"][:_PROMPT])
                break
            first.append(message)
        said = orjson.dumps(first)
    else:
        said = orjson.dumps(request.asked.get("prompt"))[:_PROMPT]
    return blake2b(said, digest_size=16).hexdigest()
