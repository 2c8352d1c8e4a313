"""What a stream has said so far, put together to the answer that it would have been as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.model import Completion, Operation
from gateway.wire import sse
from gateway.wire.openai import read_choices, read_usage

_FOLDED = 32_768  # bytes of events after which they are put together; together they take a fraction
_MOST_KEPT = 1_048_576  # characters of one answer; what is generated beyond is only counted
_ONCE = {"role", "id", "type", "name", "index", "finish_reason"}  # texts that some vendors repeat in every chunk


class Transcript:
    """One stream's answer, in bounded memory and without a look at each event as it passes.

    Args:
        operation: what was asked for.
        reasoning_beside: of the vendor; see `read_usage`.
    """

    def __init__(self, operation: Operation, reasoning_beside: bool = False) -> None:
        self._chat = operation == "chat"
        self._reasoning_beside = reasoning_beside
        self._pending: list[bytes] = []
        self._size = 0
        self._answer: dict[str, Any] = {}
        self._kept = self._not_kept = 0  # characters

    def add(self, block: bytes) -> None:
        """Take in a block of whole events."""
        self._pending.append(block)
        self._size += len(block)
        if self._size > _FOLDED:
            self._fold()

    def completion(self) -> Completion:
        """The answer as far as it came; without a body where it is too long to be kept, or says nothing yet."""
        self._fold()
        usage = read_usage(self._answer.get("usage"), self._reasoning_beside)
        answer = self._whole()
        try:
            found = read_choices(answer, b"" if self._not_kept else orjson.dumps(answer), usage)
        except ValueError:
            return Completion(b"", usage=usage)
        return replace(found, not_kept=self._not_kept)

    def _fold(self) -> None:
        block, self._pending, self._size = b"".join(self._pending), [], 0
        batch: dict[str, Any] = {}
        for payload in sse.payloads(block):
            with contextlib.suppress(orjson.JSONDecodeError):  # it went to the client as it came
                _take(batch, orjson.loads(payload))
        length = _characters(batch.get("choices"))
        if self._kept > _MOST_KEPT:
            self._not_kept += length
            ends = ("index", "finish_reason")
            batch["choices"] = [{name: choice.get(name) for name in ends} for choice in batch.get("choices", ())]
        else:
            self._kept += length
        _take(self._answer, batch)

    def _whole(self) -> dict[str, Any]:
        answer = {name: value for name, value in self._answer.items() if name != "choices"}
        if self._chat:
            answer["object"] = "chat.completion"
        answer["choices"] = [self._choice(choice) for choice in self._answer.get("choices") or ()]
        answer["choices"].sort(key=lambda choice: index if isinstance(index := choice.get("index"), int) else 0)
        return answer

    def _choice(self, streamed: Mapping[str, Any]) -> dict[str, Any]:
        choice = dict(streamed)
        if not self._chat:
            return choice
        message: dict[str, Any] = {"role": "assistant", "content": None, **(choice.pop("delta", None) or {})}
        if calls := message.pop("tool_calls", None):
            message["content"] = message["content"] or None
            message["tool_calls"] = [{name: call[name] for name in call if name != "index"} for call in calls]
        choice["message"] = message
        return choice


def _take(answer: dict[str, Any], chunk: Any) -> None:
    """Add a chunk, or what several make together, to an answer in the form of a chunk."""
    if not isinstance(chunk, dict):
        return
    for name, value in chunk.items():
        if name == "choices":
            choices = value if isinstance(value, list) else []
            _merge_lists(answer.setdefault(name, []), [choice for choice in choices if _is_sound(choice)])
        elif value is not None or name not in answer:
            answer[name] = value


def _is_sound(choice: Any) -> bool:
    """Whether a choice of a chunk has the shape that putting together relies on."""
    if not isinstance(choice, dict) or not isinstance(delta := choice.get("delta"), dict | None):
        return False
    calls = (delta or {}).get("tool_calls")
    return isinstance(calls, list | None) and all(isinstance(call, dict) for call in calls or ())


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Add what a delta says to what was said before."""
    for name, value in new.items():
        if isinstance(value, list) and into.get(name) is None:
            into[name] = []
        old = into.get(name)
        if isinstance(value, list) and isinstance(old, list):
            _merge_lists(old, value)
        elif isinstance(value, dict) and isinstance(old, dict):
            _merge(old, value)
        elif isinstance(value, str) and isinstance(old, str) and name not in _ONCE:
            into[name] = old + value
        elif value is not None or name not in into:
            into[name] = value if not old or name not in _ONCE else old


def _merge_lists(into: list[Any], new: list[Any]) -> None:
    """Entries with the same index are one."""
    for entry in new:
        index = entry.get("index") if isinstance(entry, dict) else None
        same = next((old for old in into if isinstance(old, dict) and old.get("index") == index), None)
        if index is None or same is None:
            into.append(entry)
        else:
            _merge(same, entry)


def _characters(value: Any) -> int:
    """The characters of all texts in a JSON value."""
    if isinstance(value, str):
        return len(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(_characters, inside))
