"""Strings that must never be written, and the blotting out of those that would be."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

SHORTEST_SECRET = 8  # characters; a shorter string also stands in texts where it is no secret
BLOT = "[secret]"


class Secret:
    """A string that cannot be printed by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return BLOT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def _in_base64(secret: bytes) -> list[str]:
    """How base64 writes the secret wherever it stands in what is encoded, as in `user:password`: the characters that
    have bits of nothing else."""
    encoded = [base64.b64encode(bytes(ahead) + secret).decode() for ahead in range(3)]
    return [text[-(-8 * ahead // 6) : 8 * (ahead + len(secret)) // 6] for ahead, text in enumerate(encoded)]


class Redactor:
    """Blots known secrets out of text, also in the forms that URLs, JSON and base64 give them.

    Args:
        secrets: what to look for; those shorter than SHORTEST_SECRET are passed over.
    """

    def __init__(self, secrets: Iterable[Secret | None]) -> None:
        forms: set[str] = set()
        for secret in secrets:
            text = secret.reveal() if secret else ""
            if len(text) >= SHORTEST_SECRET:
                raw = text.encode(errors="surrogateescape")  # of the environment, which may be no UTF-8
                forms |= {text, quote(raw, safe=""), json.dumps(text)[1:-1], *_in_base64(raw)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._in_json = [json.dumps(form)[1:-1] for form in forms]

    def finds(self, text: str) -> bool:
        """Whether `text` holds a secret."""
        return any(form in text for form in self._forms)

    def finds_in_json(self, text: str) -> bool:
        """Whether a string of the JSON `text`, which is ASCII, holds a secret."""
        return any(form in text for form in self._in_json)

    def text(self, text: str) -> str:
        """`text` without its secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, BLOT)
        return text

    def value(self, value: Any) -> Any:
        """A structure without the secrets in its strings, names included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.value(name): self.value(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value if isinstance(value, int | float | bool | None) else self.text(str(value))
