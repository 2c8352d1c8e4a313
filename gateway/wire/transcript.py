"""What a stream has said so far, put together to the answer that it would have been as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.model import Completion, Operation
from gateway.wire import sse
from gateway.wire.openai import misreports, read_choices, read_usage

_FOLDED = 32_768  # bytes of events after which they are put together; together they take a fraction
_MOST_KEPT = 1_048_576  # bytes of one answer's JSON; what is generated beyond is only counted
_MOST_LOOKED_AT = 128  # entries of a list among which one with the same index is looked for
_MOST_ENTRIES = 4096  # of a list of choices or calls
_MOST_CONTAINERS = 50_000  # objects and arrays of one event, each some 60 bytes of memory
_INDEXED = {"choices", "tool_calls"}  # lists whose entries come piece by piece
_ONCE = {"role", "id", "type", "name", "index", "finish_reason"}  # texts that some vendors repeat in every chunk
_APART = {"choices": None, "obfuscation": None}  # OpenAI's padding
_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, RecursionError)  # what hostile JSON ends in


class _NoObject(ValueError):
    """An event that is JSON, but no chunk."""


class Transcript:
    """One stream's answer, in bounded memory.

    Args:
        operation: what was asked for.
        reasoning_beside: of the vendor; see `read_usage`.

    Attributes:
        malformed: an event was no JSON object.
        generated: characters of all choices, but for those of the latest events.
    """

    def __init__(self, operation: Operation, reasoning_beside: bool = False) -> None:
        self._chat = operation == "chat"
        self._reasoning_beside = reasoning_beside
        self.malformed = False
        self.generated = 0
        self._batch: dict[str, Any] = {}
        self._usual: tuple[Any, Any] = None, None  # of the latest chunk that said more than a text
        self._texts: list[str] = []  # of those after it
        self._size = 0  # bytes of the events in it
        self._answer: dict[str, Any] = {}
        self._sound = True
        self._kept = 0  # bytes
        self._not_kept = 0  # characters

    def add(self, block: bytes) -> bytes:
        """Take in a block of whole events; what of it a client is to get."""
        payloads, told = sse.read(block)
        for payload in payloads:
            try:
                chunk = _read(payload)
                text = _text(chunk, self._usual)
                if text is None:
                    _check_calls(chunk)
                    self._join()
                    _take(self._batch, chunk)
                    self._usual = _usual(chunk)
                else:
                    self._texts.append(text)
            except _UNREADABLE as error:
                self._sound = False
                self.malformed |= isinstance(error, orjson.JSONDecodeError | _NoObject)
        self._size += len(block)
        if self._size > _FOLDED:
            self._fold()
        return told

    def completion(self) -> Completion:
        """The answer as far as it came; without a body where it is too long to be kept, or cannot be read."""
        self._fold()
        reported = self._answer.get("usage")
        usage = read_usage(reported, self._reasoning_beside)
        misreported = usage is None and misreports(reported)
        answer = self._whole(self._answer)
        try:
            found = replace(read_choices(answer, b"", usage), not_kept=self._not_kept, misreported=misreported)
            all_there = self._sound and self._kept <= _MOST_KEPT and len(answer["choices"]) < _MOST_ENTRIES
            whole = all_there and not any(map(_cut_audio, answer["choices"]))
            return replace(found, body=orjson.dumps(answer)) if whole else found
        except _UNREADABLE:
            return Completion(b"", usage=usage, not_kept=self._not_kept, misreported=misreported)

    def _join(self) -> None:
        """Take in the texts that have come since the latest other chunk."""
        if self._texts:
            delta = {"content": "".join(self._texts)}
            self._texts = []
            _take(self._batch, {"choices": [{"index": 0, "delta": delta}]})

    def _fold(self) -> None:
        self._join()
        batch, self._batch, self._size = self._batch, {}, 0
        try:
            self._kept += len(orjson.dumps(batch))
        except TypeError:  # nested deeper than can be written
            self._kept += _MOST_KEPT + 1
        generated = self._generated(batch)
        self.generated += generated
        if self._kept > _MOST_KEPT:
            self._not_kept += generated
            batch = _without_texts(batch)
        _take(self._answer, batch)

    def _generated(self, batch: Mapping[str, Any]) -> int:
        """How many characters it has of all that was generated; none where nobody can tell."""
        with contextlib.suppress(*_UNREADABLE):
            return len(read_choices(self._whole(batch), b"", None).generated)
        return 0

    def _whole(self, streamed: Mapping[str, Any]) -> dict[str, Any]:
        """An answer in the form of a chunk as a whole one."""
        answer = {name: value for name, value in streamed.items() if name != "choices"}
        if self._chat:
            answer["object"] = "chat.completion"
        answer["choices"] = [self._choice(choice) for choice in streamed.get("choices") or ()]
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


def _without_texts(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What bears on the end of an answer that is too long to be kept."""
    choices = [{name: choice.get(name) for name in ("index", "finish_reason")} for choice in batch.get("choices", ())]
    return {"choices": choices, "usage": batch.get("usage")}


def _read(payload: bytes) -> dict[str, Any]:
    """A chunk. Raises ValueError where it is none, or has more parts than any."""
    if len(payload) > _MOST_CONTAINERS and payload.count(b"[") + payload.count(b"{") > _MOST_CONTAINERS:
        raise ValueError("more parts than any chunk has")
    chunk = orjson.loads(payload)
    if not isinstance(chunk, dict):
        raise _NoObject
    found: dict[str, Any] = chunk
    return found


def _check_calls(chunk: Mapping[str, Any]) -> None:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if any(not isinstance(call, dict) for call in delta.get("tool_calls") or ()):
            raise ValueError("a tool call that is no object")


def _usual(chunk: Mapping[str, Any]) -> tuple[Any, Any]:
    """All but the text of a chunk, and of its choice, if the next one says no more than a text."""
    try:
        (choice,) = chunk["choices"]
        return {**chunk, **_APART}, {**dict.fromkeys(choice), "index": 0}
    except (LookupError, TypeError, ValueError):
        return None, None


def _text(chunk: Mapping[str, Any], usual: tuple[Any, Any]) -> str | None:
    """A chunk's text, where that is all it says."""
    try:
        (choice,) = chunk["choices"]
        (text,) = choice["delta"].values()
        only = "content" in choice["delta"] and type(text) is str and {**choice, "delta": None} == usual[1]
        return text if only and {**chunk, **_APART} == usual[0] else None
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _take(answer: dict[str, Any], chunk: Mapping[str, Any]) -> None:
    """Add a chunk, or what several make together, to an answer in the form of a chunk."""
    for name, value in chunk.items():
        if name == "choices":
            choices = [{"index": 0, **choice} for choice in value or ()]
            _merge_lists(name, answer.setdefault(name, []), choices)
        elif name not in _APART and (value is not None or name not in answer):
            answer[name] = value


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Add what a delta says to what was said before."""
    for name, value in new.items():
        old = into.get(name)
        if {type(old), type(value)} == {str, list}:  # Mistral's content is text, or parts where it thinks
            old, value = (_parts(said) for said in (old, value))
            into[name] = old
        if isinstance(value, list) and old is None:
            old = into[name] = []
        if isinstance(value, list) and isinstance(old, list):
            _merge_lists(name, old, value)
        elif isinstance(value, dict) and isinstance(old, dict):
            _merge(old, value)
        elif isinstance(value, str) and isinstance(old, str) and name not in _ONCE:
            into[name] = old + value
        elif value is not None or name not in into:
            into[name] = value if not old or name not in _ONCE else old


def _merge_lists(name: str, into: list[Any], new: list[Any]) -> None:
    """Choices and tool calls of the same index are one; of any other list the entries come one after the other."""
    if name not in _INDEXED:
        into.extend(new)
        return
    near: dict[Any, list[Any]] = {}
    for old in into[-_MOST_LOOKED_AT:]:
        near.setdefault(old.get("index"), []).append(old)
    for entry in new:
        alike = near.setdefault(entry["index"], []) if "index" in entry else []
        same = next((old for old in reversed(alike) if _may_be_one(old, entry)), None)
        if same is not None:
            _merge(same, entry)
        elif len(into) < _MOST_ENTRIES:
            into.append(entry)
            alike.append(entry)


def _may_be_one(old: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether pieces of the same index are of one: Gemini gives several calls the same, each whole and with its id."""
    return len({old.get("id"), entry.get("id")} - {None, ""}) < 2


def _cut_audio(choice: Mapping[str, Any]) -> bool:
    """Whether a choice's sound came in pieces whose base64 cannot simply be joined."""
    audio = choice.get("message", {}).get("audio")
    data = audio.get("data") if isinstance(audio, dict) else None
    return isinstance(data, str) and "=" in data.rstrip("=")


def _parts(said: Any) -> list[Any]:
    """Text as a list of parts; a list is one already."""
    return said if isinstance(said, list) else [{"type": "text", "text": said}] if said else []
