"""A whole answer as a stream."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from gateway.model import Completion, Dialect
from gateway.wire import sse
from gateway.wire.dialects import as_chat
from gateway.wire.openai import chunks


class Replay:
    """Gives a completion in OpenAI's events; see `gateway.providers.base.Stream`.

    Args:
        completion: a whole one.
    """

    def __init__(self, completion: Completion) -> None:
        self.upstream_request_id = completion.upstream_request_id
        self.dialect: Dialect = "openai"
        self._completion = completion

    def blocks(self) -> Iterator[bytes]:
        answer = as_chat(orjson.loads(self._completion.body), self._completion.dialect)
        yield b"".join(sse.event(orjson.dumps(chunk)) for chunk in chunks(answer))

    def leave(self) -> None:
        """Nothing is under way."""

    def completion(self) -> Completion:
        return self._completion
