"""A whole answer as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from gateway.model import Completion, Dialect
from gateway.wire import anthropic_replay, responses_replay, sse
from gateway.wire.openai import chunks

_NAMED: Mapping[Dialect, Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]]] = {
    "anthropic": anthropic_replay.events,
    "responses": responses_replay.events,
}


def can_be_replayed(completion: Completion) -> bool:
    """Whether a whole answer can be given in events: some hold what is none, or too deeply nested."""
    try:
        return any(map(bool, Replay(completion).blocks()))
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return False


class Replay:
    """Gives a completion in events of its own dialect; see `gateway.providers.base.Stream`.

    Args:
        completion: a whole one.
    """

    def __init__(self, completion: Completion) -> None:
        self.upstream_request_id = completion.upstream_request_id
        self.dialect: Dialect = completion.dialect
        self._completion = completion

    def blocks(self) -> Iterator[bytes]:
        answer = orjson.loads(self._completion.body)
        if events := _NAMED.get(self.dialect):
            yield b"".join(map(sse.named_event, events(answer)))
        else:
            yield b"".join(sse.event(orjson.dumps(chunk)) for chunk in chunks(answer))

    def leave(self) -> None:
        """Nothing is under way."""

    def completion(self) -> Completion:
        return self._completion
