"""Whom limits bear on: `tenant:NAME`, `key:ID`, `user:ID@TENANT`, `user:*@TENANT`, `model:NAME`, `global`, or two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_JOINT = re.compile(r"\+(?=(?:tenant|key|user|model):|global\b)")
_USER = re.compile(r"(?P<user>.+)@(?P<tenant>[^@]+)")
_ORDER = ("tenant", "key", "user", "model", "global")
_EACH = "*"


class Misspelt(ValueError):
    """This is no limit; the message says why."""


class Payer(NamedTuple):
    """On whose account a call goes.

    Attributes:
        user_id: "" where the call names none.
        names: the model's names: as resolved, and where a fallback answers that one's too.
    """

    tenant: str
    key_id: str
    user_id: str
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Whom:
    """Some calls: what all of them have in common; None where they may differ. They name one user, or none."""

    tenant: str | None = None
    key_id: str | None = None
    user_id: str = ""
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a limit bears on.

    Attributes:
        text: as operators write it, its parts in one order.
        parts: (kind, name), and for a user (kind, name, tenant).
    """

    text: str
    parts: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Subject:
        """Understand `tenant:NAME`, `key:ID`, `user:ID@TENANT`, `user:*@TENANT`, `model:NAME`, `global`, or two of them
        joined by `+`. Raises Misspelt."""
        if not text.isprintable():
            raise Misspelt(f"{text!a} is no subject: it holds what cannot be printed")
        parts = sorted((_part(part) for part in _JOINT.split(text)), key=lambda part: _ORDER.index(part[0]))
        kinds = [part[0] for part in parts]
        if len(parts) > 2 or len(set(kinds)) < len(kinds) or (len(parts) == 2 and "global" in kinds):
            raise Misspelt(f"{text!r}: join two different subjects at most, and nothing to 'global'")
        return cls("+".join(_written(part) for part in parts), tuple(parts))

    def instance(self, payer: Payer) -> str | None:
        """Whose balance a call moves: "" for the limit's only one, the user where it is for each; None where the limit
        does not bear on the call. Calls that name no user are those of one user without a name."""
        instance = ""
        for kind, *rest in self.parts:
            if kind == "tenant" and rest[0] != payer.tenant:
                return None
            if kind == "key" and rest[0] != payer.key_id:
                return None
            if kind == "model" and rest[0] not in payer.names:
                return None
            if kind == "user":
                if rest[1] != payer.tenant or rest[0] not in (_EACH, payer.user_id):
                    return None
                instance = payer.user_id if rest[0] == _EACH else ""
        return instance

    def among(self, whom: Whom) -> str | None:
        """Whose balance some of these calls move; None where the limit bears on none of them, or only on those of a key
        that is not given."""
        instance = ""
        for kind, *rest in self.parts:
            if kind == "tenant" and rest[0] != whom.tenant:
                return None
            if kind == "key" and rest[0] != whom.key_id:
                return None
            if kind == "model" and whom.model not in (None, rest[0]):
                return None
            if kind == "user":
                if rest[1] != whom.tenant or rest[0] not in (_EACH, whom.user_id):
                    return None
                instance = whom.user_id if rest[0] == _EACH else ""
        return instance

    @property
    def whom(self) -> Whom:
        """The calls that it is of."""
        names = {part[0]: part for part in self.parts}
        user = names.get("user", ("", "", None))
        tenant, key, model = (names.get(kind, ("", None))[1] for kind in ("tenant", "key", "model"))
        return Whom(tenant or user[2], key, "" if user[1] == _EACH else user[1] or "", model)

    @property
    def each_of(self) -> str | None:
        """The tenant for each of whose users it is; None where it is not for each user."""
        return next((part[2] for part in self.parts if part[:2] == ("user", _EACH)), None)

    def names_a_fallback(self, payer: Payer) -> bool:
        """Whether it is of a model that answers in place of the one that was asked for."""
        return any(part[0] == "model" and part[1] != payer.names[0] for part in self.parts)

    def named(self, instance: str) -> str:
        """The subject with the user whose balance `instance` is."""
        return self.text.replace(f"user:{_EACH}@", f"user:{instance}@") if instance else self.text


def _part(text: str) -> tuple[str, ...]:
    kind, _, name = text.partition(":")
    if text == "global":
        return (text,)
    if kind == "user" and (found := _USER.fullmatch(name)):
        return kind, found["user"], found["tenant"]
    if kind in ("tenant", "key", "model") and re.fullmatch(r"\S+", name):
        return kind, name
    raise Misspelt(
        f"{text!r} is no subject: write tenant:NAME, key:ID, user:ID@TENANT, user:*@TENANT, model:NAME or global"
    )


def _written(part: tuple[str, ...]) -> str:
    kind, *rest = part
    return f"{kind}:{'@'.join(rest)}" if rest else kind
