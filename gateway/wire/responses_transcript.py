"""What a stream of a response has said so far; the whole one is what its last event holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.model import Completion
from gateway.wire.openai import read_choices
from gateway.wire.responses_answers import read_usage, to_chat

_MOST_KEPT = 1_048_576  # characters of one answer; what is generated beyond is only counted
_TEXT = "response.output_text.delta"
_SAID = {
    _TEXT, "response.refusal.delta", "response.reasoning_summary_text.delta", "response.reasoning_text.delta",
    "response.function_call_arguments.delta", "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta", "response.code_interpreter_call_code.delta",
}  # fmt: skip
LAST = {"response.completed", "response.incomplete"}  # events that a whole answer ends with


class ResponseTranscript:
    """One response, in bounded memory.

    Attributes:
        generated: characters of it.
    """

    def __init__(self) -> None:
        self.generated = 0
        self._texts: list[str] = []
        self._pieces: list[str] = []  # texts and all else
        self._response: Mapping[str, Any] | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in an event. Raises LookupError, TypeError, AttributeError where it cannot be read."""
        kind = event["type"]
        if kind in _SAID:
            self._say(event["delta"], kind == _TEXT)
        elif kind == "response.output_item.added":
            self._say(event["item"].get("name") or "", False)
        elif kind in LAST:
            self._response = event["response"]

    def completion(self) -> Completion:
        """The response, if it is whole, else what came of it; without a body where it is too long to be kept."""
        said, not_kept = "".join(self._pieces), self.generated - sum(map(len, self._pieces))
        came = Completion(
            body=b"", text="".join(self._texts), generated=said, not_kept=not_kept, finish_reasons=(None,),
            dialect="responses",
        )  # fmt: skip
        if self._response is None:
            return came
        reported = self._response.get("usage")
        usage = read_usage(reported)
        ended = replace(came, usage=usage, misreported=usage is None and reported is not None)
        try:
            found = read_choices(to_chat(self._response, 0), b"" if not_kept else orjson.dumps(self._response), usage)
        except ValueError:
            return ended
        return replace(ended, body=found.body, text=found.text, generated=found.generated, not_kept=0,
                       finish_reasons=found.finish_reasons)  # fmt: skip

    def _say(self, text: str, is_text: bool) -> None:
        self.generated += len(text)
        if self.generated <= _MOST_KEPT:
            self._pieces.append(text)
            if is_text:
                self._texts.append(text)
