"""How sure the built-in provider is of what it says: entirely. Its words stand for tokens here."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"\s*\S+|\s+")
_MOST_CHARACTERS = 100_000  # of all choices together; a word takes up to a kilobyte of memory


def logprobs(asked: Mapping[str, Any], text: str, in_all: int, chat: bool) -> dict[str, Any] | None:
    """The `logprobs` of a choice, or None where the request does not ask for them.

    Args:
        asked: the fields of the request.
        text: what the choice says.
        in_all: characters of this choice and of those before it.
        chat: the shape is a chat completion's, not that of a completion.

    Raises:
        ValueError: the answer is too long for them.
    """
    wanted = asked.get("logprobs")
    if wanted is None or wanted is False:
        return None
    if in_all > _MOST_CHARACTERS:
        raise ValueError(f"'logprobs' are only for answers of at most {_MOST_CHARACTERS} characters")
    words = _WORD.findall(text)
    if chat:
        return {"content": [_sure_of(word, bool(asked.get("top_logprobs"))) for word in words], "refusal": None}
    return {
        "tokens": words,
        "token_logprobs": [0.0] * len(words),
        "top_logprobs": [{word: 0.0} for word in words] if wanted else None,
        "text_offset": list(itertools.accumulate(map(len, words), initial=0))[:-1],
    }


def _sure_of(word: str, alternatives: bool) -> dict[str, Any]:
    certain = {"token": word, "logprob": 0.0, "bytes": list(word.encode())}
    return {**certain, "top_logprobs": [certain] if alternatives else []}
