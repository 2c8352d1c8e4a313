"""What a stream of Anthropic's has said so far, put together to the message that it would have been as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.model import Completion
from gateway.wire.anthropic_answers import STOPS, read_usage

_MOST_KEPT = 1_048_576  # characters of one answer; what is generated beyond is only counted
_MOST_BLOCKS = _MOST_CITATIONS = 4096
_OF_STOP = frozenset({"type", "delta", "usage"})  # of the event before the last; what it has beside is the message's
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json",
          "signature_delta": "signature"}  # fmt: skip


class MessageTranscript:
    """One message, in bounded memory.

    Attributes:
        generated: characters of it.
    """

    def __init__(self) -> None:
        self.generated = 0
        self._message: dict[str, Any] = {}
        self._blocks: list[dict[str, Any]] = []
        self._pieces: list[list[str]] = []  # of each block
        self._citations = 0
        self._stop: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._sound = True

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in an event. Raises LookupError, TypeError, AttributeError where it cannot be read."""
        kind = event["type"]
        if kind == "message_start":
            self._message = dict(event["message"])
            self._usage = dict(self._message.get("usage") or {})
        elif kind == "content_block_start":
            self._begin(event["content_block"])
        elif kind == "content_block_delta":
            self._more(event["delta"])
        elif kind == "message_delta":
            self._stop = {**event["delta"], **{name: event[name] for name in event.keys() - _OF_STOP}}
            self._usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}

    @property
    def has_stopped(self) -> bool:
        """It has been told why the message ends."""
        return bool(self._stop.get("stop_reason"))

    def completion(self) -> Completion:
        """The message as far as it came; without a body where it is too long to be kept, or cannot be read."""
        said = ["".join(pieces) for pieces in self._pieces]
        text = "".join(one for block, one in zip(self._blocks, said, strict=True) if block["type"] == "text")
        reason = self._stop.get("stop_reason")
        told = read_usage(self._usage)
        usage = told if reason else None
        return Completion(
            body=self._body(said) if reason else b"",
            text=text,
            generated="".join(said),
            not_kept=max(0, self.generated - sum(map(len, said))),
            finish_reasons=(STOPS.get(reason) if isinstance(reason, str) else None,),
            usage=usage,
            begun=told,
            misreported=usage is None and reason is not None and bool(self._usage),
            dialect="anthropic",
        )

    def _begin(self, block: Mapping[str, Any]) -> None:
        if len(self._blocks) == _MOST_BLOCKS:
            self._sound = False
            return
        self._blocks.append(dict(block))
        self._pieces.append([])
        for name in ("text", "thinking", "name"):
            if block.get(name):
                self._say(block[name], kept=name != "name")
        if block.get("input"):
            self._say(orjson.dumps(block["input"]).decode(), kept=False)  # unless pieces come, it stays in its block

    def _more(self, delta: Mapping[str, Any]) -> None:
        name = _TEXTS.get(delta["type"])
        if name == "signature":
            self._blocks[-1]["signature"] = delta["signature"]
        elif name:
            self._say(delta[name])
        elif delta["type"] == "citations_delta" and self._citations < _MOST_CITATIONS:
            self._citations += 1
            self._blocks[-1]["citations"] = self._blocks[-1].get("citations") or []
            self._blocks[-1]["citations"].append(delta["citation"])
        else:
            self._sound = False  # of a kind that nobody knows yet, or too many: it is handed on, and not kept

    def _say(self, text: str, kept: bool = True) -> None:
        self.generated += len(text)
        if self.generated > _MOST_KEPT:
            self._sound = False
        elif kept:
            self._pieces[-1].append(text)

    def _body(self, said: list[str]) -> bytes:
        if not self._sound:
            return b""
        try:
            content = [_whole(block, text) for block, text in zip(self._blocks, said, strict=True)]
            return orjson.dumps({**self._message, "content": content, **self._stop, "usage": self._usage})
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return b""  # a call whose input is no JSON is the client's to judge


def _whole(block: Mapping[str, Any], text: str) -> Mapping[str, Any]:
    if block["type"] in ("text", "thinking"):
        return {**block, block["type"]: text}
    return {**block, "input": orjson.loads(text)} if text and "input" in block else block
