"""Token counts without a provider: tiktoken's, exact for OpenAI's models, or an estimate.

tiktoken downloads a missing rank file, without a time-out and holding a global lock. So its files are looked for and
checked by hash once, before the workers fork, and tiktoken is never called without them.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

import tiktoken

from gateway.concurrency import off_the_loop
from gateway.model import Completion, ModelRequest
from gateway.wire.openai import prompt

# tiktoken_ext/openai_public.py: the file's SHA-256. tiktoken's cache names a file by the SHA-1 of its address.
_RANK_FILES = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}
_CL100K = re.compile(r"(?:^|/)(?:gpt-4(?!o|\.1|\.5)|gpt-3\.5|gpt-35|text-embedding)")
_KNOWN = re.compile(r"(?:chatgpt-|gpt-[345]|gpt-35|o\d|text-embedding-)")  # names whose tokenizer is one of ours
_BYTES_PER_TOKEN = 4  # measured on o200k: prose 4.8, code 4.5, Chinese 4.1
_PIECE = 50_000  # characters, about 3 ms; tiktoken panics at a million spaces in one text
_MOST_COUNTED = 1_000_000  # characters, about 60 ms, and a second for text made to be slow

# https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken: what frames a message, and the answer
_TOKENS_PER_MESSAGE = 3
_TOKENS_PER_ANSWER = 3


class TokenCounter:
    """Counts tokens as a model's tokenizer would.

    Attributes:
        exact: False where the rank files are missing and counts are `ceil(bytes / 4)`.
    """

    def __init__(self, encodings: dict[str, tiktoken.Encoding]) -> None:
        self._encodings = encodings
        self.exact = bool(encodings)

    def count(self, text: str, model: str = "") -> int:
        """The number of tokens in `text`; `model` is the provider's name of it and picks the tokenizer."""
        if not self._encodings:
            return -(-len(text.encode()) // _BYTES_PER_TOKEN)
        encoding = self._encodings["cl100k_base" if _CL100K.search(model) else "o200k_base"]
        if len(text) <= _PIECE:
            return len(encoding.encode_ordinary(text))
        return off_the_loop(lambda: _count_long(encoding, text))

    def count_prompt(self, request: ModelRequest, model: str = "") -> int:
        """The tokens of a request's prompt, framing included; media are left out."""
        texts, numbers, messages = prompt(request)
        framing = _TOKENS_PER_MESSAGE * messages + _TOKENS_PER_ANSWER if messages else 0
        if sum(map(len, texts)) > _PIECE:
            texts = ["".join(texts)]  # a few tokens less, and not a second of everybody's time
        return framing + numbers + sum(self.count(text, model) for text in texts)

    def most(self, text: str, model: str) -> int | None:
        """The most tokens that `text` can be, by the model's own tokenizer; None where that is not known to be one of
        ours, or the text is too long to be counted for nothing."""
        if not self._encodings or not _KNOWN.match(model) or len(text) > _MOST_COUNTED:
            return None
        pieces = -(-len(text) // (_PIECE // 2))  # each cut may hide a token or two
        return self.count(text, model) + 4 * pieces

    def count_generated(self, completion: Completion, model: str = "") -> int:
        """The tokens that a model made; what was not kept of them is taken to be like the rest."""
        kept, not_kept = len(completion.generated), completion.not_kept
        if not kept:
            return -(-not_kept // _BYTES_PER_TOKEN)
        return -(-self.count(completion.generated, model) * (kept + not_kept) // kept)


@lru_cache(maxsize=4)
def load(directory: Path) -> TokenCounter:
    """Load the rank files found in `directory`, once a process.

    Returns:
        An exact counter if both files are there and intact, else an estimating one; never waits for a network.
    """
    for name, digest in _RANK_FILES.values():
        try:
            found = hashlib.sha256((directory / name).read_bytes()).hexdigest()
        except OSError:
            return TokenCounter({})
        if found != digest:
            return TokenCounter({})
    os.environ["TIKTOKEN_CACHE_DIR"] = str(directory)  # the only way to tell tiktoken where its files are
    return TokenCounter({name: tiktoken.get_encoding(name) for name in _RANK_FILES})


def _count_long(encoding: tiktoken.Encoding, text: str) -> int:
    """Count in pieces, and no more than the first _MOST_COUNTED characters: the rest is taken to be like them."""
    tokens, start = 0, 0
    while start < min(len(text), _MOST_COUNTED):
        end = start + _PIECE
        if end < len(text) and (space := text.rfind(" ", start + 1, end)) > 0:
            end = space  # where a token begins, so that the pieces have as many as the whole
        tokens += len(encoding.encode_ordinary(text[start:end]))
        start = end
    return -(-tokens * len(text) // min(start, len(text)))  # start ends beyond the text
