"""Calls of tools out of the pieces of a chat's stream. These may come mixed, where other dialects have one call after
the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.wire.chat_pieces import object_of, text_of
from gateway.wire.signatures import sealed

_LOOKS, _LOOKED_AT_FREELY = 8, 65_536  # times all that has come, and characters, that are read to see whether it is all


class Called:
    """A call, as far as it has come.

    Attributes:
        custom: of a tool that takes any text.
        id: the vendor's, if it has given one.
        name: the tool's, once it has come.
        seal: of Google's signature, where it is signed.
    """

    def __init__(self, piece: Mapping[str, Any]) -> None:
        self.custom = piece.get("type") == "custom" or isinstance(piece.get("custom"), Mapping)
        self.id = self.name = ""
        self.seal: str | None = None
        self._pieces: list[str] = []
        self._taken = self._seen = 0  # how many of them
        self._size = self._looked_at = 0  # characters: that have come, and that were read in all
        self._whole = False
        self.add(piece)

    def add(self, piece: Mapping[str, Any]) -> None:
        self.id = self.id or text_of(piece.get("id"))
        self.name = self.name or text_of(self._told(piece).get("name"))
        self.seal = self.seal or sealed(piece)
        given = self._told(piece).get("input" if self.custom else "arguments")
        if text := orjson.dumps(given).decode() if isinstance(given, Mapping) else text_of(given):
            self._pieces.append(text)
            self._size += len(text)

    def goes_on_with(self, piece: Mapping[str, Any]) -> bool:
        """Whether a piece of the same index may be of this call: some vendors give several calls the same, and those
        that number none mostly send each in one piece."""
        its_id, name = text_of(piece.get("id")), text_of(self._told(piece).get("name"))
        if its_id and self.id:
            return its_id == self.id
        return not name or (name == (self.name or name) and piece.get("index") is not None and not self.whole)

    def take(self) -> str:
        """What has come of its arguments since they were taken last."""
        taken, self._taken = self._taken, len(self._pieces)
        return "".join(self._pieces[taken:])

    @property
    def whole(self) -> bool:
        """Whether nothing can follow, as behind a JSON object; of a long one with many pieces that might be its end, it
        is found out no more."""
        if self._seen < len(self._pieces):
            self._seen = len(self._pieces)
            self._whole = self._may_be_whole() and self._is_object()
        return self._whole

    def _may_be_whole(self) -> bool:
        return (
            not self.custom
            and self._pieces[0].startswith("{")
            and self._pieces[-1].endswith("}")
            and self._looked_at <= _LOOKS * self._size + _LOOKED_AT_FREELY
        )

    def _is_object(self) -> bool:
        self._looked_at += self._size
        try:
            orjson.loads("".join(self._pieces))
        except orjson.JSONDecodeError:
            return False
        return True

    def _told(self, piece: Mapping[str, Any]) -> Mapping[str, Any]:
        return object_of(piece.get("custom" if self.custom else "function"))


class Calls:
    """Puts pieces together to calls, however a vendor numbers and names these."""

    def __init__(self) -> None:
        self._latest: dict[int, Called] = {}  # by index
        self._named: dict[tuple[int, str], Called] = {}  # by index and id

    def add(self, piece: Mapping[str, Any]) -> Called | None:
        """Take in a piece of a call; the call, where it begins with this one."""
        index = given if isinstance(given := piece.get("index"), int) else 0
        its_id = text_of(piece.get("id"))
        call = self._named.get((index, its_id)) or self._latest.get(index)
        if call is not None and call.goes_on_with(piece):
            call.add(piece)
            begun = None
        else:
            call = begun = self._latest[index] = Called(piece)
        if its_id:
            self._named[index, its_id] = call
        return begun
