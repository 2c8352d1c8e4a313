"""Calls of tools out of the pieces of a chat's stream, which may come mixed, for a response that has one item after the
other."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.wire.signatures import sealed


class Called:
    """A call, as far as it has come.

    Attributes:
        custom: of a tool that takes any text.
        id: the vendor's, if it has given one.
        seal: of Google's signature, where it is signed.
    """

    def __init__(self, piece: Mapping[str, Any]) -> None:
        self.custom = piece.get("type") == "custom" or isinstance(piece.get("custom"), Mapping)
        self.id = self.name = ""
        self.seal: str | None = None
        self._pieces: list[str] = []
        self._taken = self._looked_at = 0  # how many of them
        self._whole = False

    def add(self, piece: Mapping[str, Any]) -> None:
        self.id = self.id or text_of(piece.get("id"))
        self.name = self.name or text_of(self._told(piece).get("name"))
        self.seal = self.seal or sealed(piece)
        self._pieces.append(text_of(self._told(piece).get("input" if self.custom else "arguments")))

    def goes_on_with(self, piece: Mapping[str, Any]) -> bool:
        """Whether a piece of the same index may be of this call: some vendors give several calls the same."""
        its_id, name = text_of(piece.get("id")), text_of(self._told(piece).get("name"))
        if its_id and self.id:
            return its_id == self.id
        return not name or (name == (self.name or name) and not self.whole)

    def take(self) -> str:
        """What has come of its arguments since they were taken last."""
        taken, self._taken = self._taken, len(self._pieces)
        return "".join(self._pieces[taken:])

    @property
    def whole(self) -> bool:
        """Whether nothing can follow, as behind a JSON object."""
        if self._looked_at < len(self._pieces):
            self._looked_at = len(self._pieces)
            self._whole = not self.custom and _is_object("".join(self._pieces))
        return self._whole

    def _told(self, piece: Mapping[str, Any]) -> Mapping[str, Any]:
        return object_of(piece.get("custom" if self.custom else "function"))


class Calls:
    """Calls in the order in which they begin.

    Attributes:
        waiting: those that are not told to their end; of the first one, what has been taken is.
    """

    def __init__(self) -> None:
        self.waiting: deque[Called] = deque()
        self._latest: dict[int, Called] = {}  # by index
        self._named: dict[tuple[int, str], Called] = {}  # by index and id

    @property
    def unfinished(self) -> bool:
        """Whether there is more to come of one."""
        return not all(call.whole for call in self.waiting)

    def add(self, piece: Mapping[str, Any]) -> bool:
        """Take in a piece of one; whether it has begun with this."""
        index = given if isinstance(given := piece.get("index"), int) else 0
        name = index, text_of(piece.get("id"))
        call = self._named.get(name) or self._latest.get(index)
        begins = call is None or not call.goes_on_with(piece)
        if call is None or begins:
            call = self._latest[index] = Called(piece)
            self.waiting.append(call)
        if name[1]:
            self._named[name] = call
        call.add(piece)
        return begins


def _is_object(given: str) -> bool:
    if not (given.startswith("{") and given.endswith("}")):
        return False
    try:
        orjson.loads(given)
    except orjson.JSONDecodeError:
        return False
    return True


def text_of(value: Any) -> str:
    """A text, whatever came in its place."""
    return value if isinstance(value, str) else ""


def object_of(value: Any) -> Mapping[str, Any]:
    """An object, whatever came in its place."""
    return value if isinstance(value, Mapping) else {}


def objects_of(value: Any) -> list[Mapping[str, Any]]:
    """A list of objects, whatever came in its place."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []
