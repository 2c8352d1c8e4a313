"""Requests as a provider of another dialect can have them: what its API has nothing like is refused or left out, and
the client is told of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.errors import InvalidField
from gateway.model import Dialect, ModelRequest
from gateway.wire.fields import INDISPENSABLE, Fate, Untranslatable, fate, in_words_of, is_idle, only_known

if TYPE_CHECKING:
    from gateway.providers.base import Provider

_HEADERS = "anthropic-beta"  # asks for something; the version only says what everybody speaks


def fitted(
    request: ModelRequest, provider: Provider, refuse_hints: bool, lenient: bool
) -> tuple[ModelRequest, tuple[str, ...]]:
    """The request as `provider` can have it.

    Args:
        refuse_hints: the operator wants a request refused of which anything would be left out.
        lenient: it stands in for another provider: whatever can be left out is.

    Returns:
        The request, the same one where they speak the same dialect; and what was left out, in the client's words.

    Raises:
        InvalidField: it asks for something that the provider's API has nothing like.
    """
    if request.operation not in provider.operations:
        message = f"The provider {provider.name!r} has no {request.operation}. Ask a model of another one."
        raise InvalidField(message, param="model")
    if request.dialect in provider.dialects:
        return request, ()
    kept: dict[str, Any] = {}
    dropped = {_HEADERS} & request.headers.keys()
    for name, value in request.asked.items():
        becomes = fate(name, provider.api)
        if becomes is Fate.TRANSLATED:
            kept[name] = value
        elif not is_idle(name, value):
            if name in INDISPENSABLE or (becomes is Fate.REFUSED and not lenient):
                raise _refusal(name, request.dialect, provider.name)
            dropped.add(name)
    with translating(request, provider.name):
        kept, names = only_known(kept, provider.api, lenient)
    dropped |= names | set(request.hints)
    if dropped and refuse_hints:
        raise _refusal(min(dropped), request.dialect, provider.name)
    told = sorted(in_words_of(request.dialect, name) for name in dropped)
    return replace(request, asked=kept, body=None), tuple(told)


@contextmanager
def translating(request: ModelRequest, provider: str) -> Iterator[None]:
    """A block in which a request is written in a provider's form. Raises InvalidField where it cannot be."""
    try:
        yield
    except Untranslatable as error:
        name = in_words_of(request.dialect, error.field)
        message = f"{name!r} holds {error.what}, which cannot be asked of the provider {provider!r}."
        raise InvalidField(message, param=name) from None


def _refusal(name: str, dialect: Dialect, provider: str) -> InvalidField:
    name = in_words_of(dialect, name)
    message = f"{name!r} cannot be asked of the provider {provider!r}, whose API has nothing like it. Leave it out, or "
    return InvalidField(message + "ask a model of another provider.", param=name, code="unknown_parameter")
