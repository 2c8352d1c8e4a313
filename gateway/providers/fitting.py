"""Requests as a provider can have them: in its own API's words, what that has nothing like refused or left out, and the
client told of both."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from gateway.errors import InvalidField
from gateway.model import Dialect, ModelRequest
from gateway.wire.fields import INDISPENSABLE, THOUGHTS, Fate, Untranslatable, fate, in_words_of, is_idle, only_known

if TYPE_CHECKING:
    from gateway.providers.base import Provider

_HEADERS = "anthropic-beta"  # asks for something; the version only says what everybody speaks
_UNREADABLE = (KeyError, TypeError, AttributeError, ValueError, RecursionError)  # what malformed requests end in
_NOT_FOR_HEADERS = re.compile("[^!-+\\--~]")  # a comma stands between names
_OF_EMBEDDINGS = frozenset({"input", "dimensions", "encoding_format"})
_MOST_TOLD = 32  # names that a response tells of


def fitted(
    request: ModelRequest, provider: Provider, model: str, refuse_hints: bool, lenient: bool
) -> tuple[ModelRequest, tuple[str, ...]]:
    """The request as `provider` can have it.

    Args:
        model: the provider's, who is asked.
        refuse_hints: the operator wants a request refused of which anything would be left out.
        lenient: it stands in for another provider: whatever can be left out is.

    Returns:
        The request, the same one where it came in a dialect that the provider speaks; and what was left out, in the
        client's words.

    Raises:
        InvalidField: it asks for something that the provider's API has nothing like, or that cannot be read.
    """
    if request.operation not in provider.operations:
        message = f"The provider {provider.name!r} has no {request.operation}. Ask a model of another one."
        raise InvalidField(message, param="model")
    if request.dialect in provider.dialects and request.body is not None:
        return request, ()
    try:
        asked, dropped = _fields(request, provider, lenient)
        document, unused = provider.translate(replace(request, asked=asked), model)
        dropped |= unused
        if refuse_hints and (hints := dropped - {THOUGHTS}):
            raise _refusal(sorted(hints), request.dialect, provider.name, ", and this model leaves nothing out")
        body = orjson.dumps(document)
    except Untranslatable as error:
        name = in_words_of(request.dialect, error.field)
        message = f"{name!r} holds {error.what}, which cannot be asked of the provider {provider.name!r}."
        raise InvalidField(message, param=name) from None
    except _UNREADABLE as error:
        what = f" ({str(error)[:64]} is missing)" if isinstance(error, KeyError) else ""
        message = f"The request holds something that cannot be understood{what}, so the provider {provider.name!r} "
        raise InvalidField(message + "cannot be asked.", param=in_words_of(request.dialect, "messages")) from None
    told = sorted({_NOT_FOR_HEADERS.sub("?", in_words_of(request.dialect, name)) for name in dropped})
    unknown = request.unknown if request.dialect in provider.dialects else ()  # of these nothing is left
    fit = replace(request, asked=asked, body=body, is_translated=True, unknown=unknown)
    return fit, tuple(told[:_MOST_TOLD])


def _fields(request: ModelRequest, provider: Provider, lenient: bool) -> tuple[dict[str, Any], set[str]]:
    """What of the request the provider's API has words for, and the names of the rest."""
    kept: dict[str, Any] = {}
    dropped = {*request.hints, *({_HEADERS} & request.headers.keys())}
    if request.dialect in provider.dialects:
        return dict(request.asked), dropped
    if request.operation != "chat":
        kept = {name: value for name, value in request.asked.items() if name in _OF_EMBEDDINGS}
        return kept, dropped | (request.asked.keys() - kept.keys())
    for name, value in request.asked.items():
        becomes = fate(name, provider.api)
        if becomes is Fate.TRANSLATED:
            kept[name] = value
        elif not is_idle(name, value):
            if name in INDISPENSABLE or (becomes is Fate.REFUSED and not lenient):
                raise _refusal([name], request.dialect, provider.name)
            dropped.add(name)
    kept, left_out = only_known(kept, provider.api, lenient)
    return kept, dropped | left_out


def _refusal(names: list[str], dialect: Dialect, provider: str, why: str = "") -> InvalidField:
    told = [in_words_of(dialect, name) for name in names[:_MOST_TOLD]]
    fields = ", ".join(map(repr, told))
    message = f"{fields} cannot be asked of the provider {provider!r}, whose API has nothing like it{why}. "
    message += "Leave it out, or ask a model of another provider."
    return InvalidField(message, param=told[0], code="unknown_parameter")
