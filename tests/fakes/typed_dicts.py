"""The typed dictionaries that an SDK describes requests by, turned into checks that refuse whatever does not fit."""

from __future__ import annotations

import collections.abc
import functools
import types
from typing import Annotated, Any, Union, get_args, get_origin

import typing_extensions as te
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

_MANY = (collections.abc.Iterable, collections.abc.Sequence)
_TAGS = ("type", "role")  # fields that tell the members of a union apart
_MOST_TOLD = 6  # complaints of one request


class Check:
    """Refuses what does not fit a typed dictionary: JSON as strict as it is written, no field that is not described.

    Args:
        of: the typed dictionary.
        without: fields of it that are no part of a body, such as those that the SDK sends as headers.
    """

    def __init__(self, of: Any, *without: str) -> None:
        self._known = frozenset(te.get_type_hints(of)) - frozenset(without)
        self._adapter = TypeAdapter(eager(of))

    def misfits(self, body: dict[str, Any], allowed: frozenset[str] = frozenset()) -> list[str]:
        """What is wrong with a body; `allowed` names top-level fields that may be there all the same."""
        found = [f"{name}: Extra inputs are not permitted" for name in sorted(set(body) - self._known - allowed)]
        try:
            self._adapter.validate_python({name: value for name, value in body.items() if name in self._known})
        except ValidationError as error:
            found += _told([(wrong["loc"], wrong["msg"]) for wrong in error.errors()])[:_MOST_TOLD]
        return found


def _told(wrong: list[tuple[tuple[int | str, ...], str]]) -> list[str]:
    """Complaints as Anthropic words them: a text that could have been there instead is no news."""
    within = [where[:-1] for where, _ in wrong]
    told = [(where, what) for where, what in wrong if where[-1] != "str" or within.count(where[:-1]) == len(wrong)]
    return [f"{'.'.join(str(part) for part in where if '[' not in str(part))}: {what}" for where, what in told or wrong]


@functools.cache
def eager(of: Any) -> Any:
    """`of` with every iterable as a list, so that what is in it is checked at once and not when somebody reads it, and
    without the SDK's objects, which are nothing that JSON has."""
    if te.is_typeddict(of):
        return _typed_dict(of)
    origin, inner = get_origin(of), get_args(of)
    if origin is te.Literal or not inner:
        return of
    if origin is Annotated:
        return eager(inner[0])
    if origin in (Union, types.UnionType):
        return _union([part for part in inner if not _is_of_the_sdk(part)])
    converted = tuple(eager(part) for part in inner)
    if origin in _MANY:
        return list[converted[0]]  # type: ignore[valid-type]
    return origin[converted if len(converted) > 1 else converted[0]]


def _is_of_the_sdk(of: Any) -> bool:
    """Whether a client's code may give it, and no JSON is one."""
    bare = get_origin(of) or of
    return isinstance(bare, type) and (issubclass(bare, BaseModel) or bare.__module__ in ("typing", "os"))


def _union(parts: list[Any]) -> Any:
    """Of typed dictionaries, one that is chosen by their tag, so that an error tells of that one alone."""
    tagged = [part for part in parts if te.is_typeddict(part)]
    converted = tuple(eager(part) for part in parts)
    if len(tagged) < 2:
        return Union[converted]  # noqa: UP007  (of a tuple)
    chosen: Any = Union[tuple(eager(part) for part in tagged)]  # noqa: UP007
    tag = next((name for name in _TAGS if all(_has_tag(part, name) for part in tagged)), None)
    if tag:
        chosen = Annotated[chosen, Field(discriminator=tag)]
    rest = tuple(eager(part) for part in parts if part not in tagged)
    return Union[(chosen, *rest)]


def _has_tag(of: Any, name: str) -> bool:
    required, hint = _fields(of).get(name, (False, None))
    return required and get_origin(hint) is te.Literal


def _fields(of: Any) -> dict[str, tuple[bool, Any]]:
    """Of a typed dictionary: whether each is required, and of which type it is."""
    found = {}
    hint: Any
    for name, hint in te.get_type_hints(of, include_extras=True).items():
        is_marked = get_origin(hint) in (te.Required, te.NotRequired)
        required = get_origin(hint) is te.Required or name in of.__required_keys__
        found[name] = required, get_args(hint)[0] if is_marked else hint
    return found


def _typed_dict(of: Any) -> Any:
    fields = {
        name: te.Required[eager(hint)] if required else te.NotRequired[eager(hint)]
        for name, (required, hint) in _fields(of).items()
    }
    make: Any = te.TypedDict
    made = make(of.__name__, fields)
    given = getattr(of, "__pydantic_config__", {})
    made.__pydantic_config__ = ConfigDict(strict=True, extra=given.get("extra", "forbid"))
    return made
