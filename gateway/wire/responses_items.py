"""The items of a response's output while they are made, and the events that tell of each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.wire.signatures import UNSIGNED

Event = dict[str, Any]


class Item(ABC):
    """An item of the output while it is made.

    Args:
        answer: the answer's id.
        place: of the item in the output.
    """

    prefix: str

    def __init__(self, answer: str, place: int) -> None:
        self.id = f"{self.prefix}_{answer}_{place}"
        self._place = place
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def told(self, what: str, status: str) -> Event:
        return {"type": f"response.output_item.{what}", "output_index": self._place, "item": self.item(status)}

    def event(self, name: str, **says: Any) -> Event:
        return {"type": f"response.{name}", "item_id": self.id, "output_index": self._place, **says}

    @abstractmethod
    def item(self, status: str) -> Event:
        """The item as far as it came."""

    @abstractmethod
    def more(self, text: str, kind: str = "", scores: Iterable[Any] = ()) -> Iterator[Event]:
        """Its text goes on.

        Args:
            kind: of the part of it that does.
            scores: log probabilities.
        """

    @abstractmethod
    def end(self, status: str) -> Iterator[Event]:
        """What comes before it is done."""


class Reasoning(Item):
    """Thoughts, their text as a summary: what OpenAI's clients show of them.

    Attributes:
        seal: what is handed back unread; see `gateway.wire.signatures`.
    """

    prefix = "rs"
    seal = UNSIGNED

    def item(self, status: str) -> Event:
        summary = [self._part(self.text)] if self._pieces else []
        return {"id": self.id, "type": "reasoning", "summary": summary, "encrypted_content": self.seal}

    def more(self, text: str, kind: str = "", scores: Iterable[Any] = ()) -> Iterator[Event]:
        if text and not self._pieces:
            yield self.event("reasoning_summary_part.added", summary_index=0, part=self._part(""))
        if text:
            self._pieces.append(text)
            yield self.event("reasoning_summary_text.delta", summary_index=0, delta=text)

    def end(self, status: str) -> Iterator[Event]:
        if self._pieces:
            yield self.event("reasoning_summary_text.done", summary_index=0, text=self.text)
            yield self.event("reasoning_summary_part.done", summary_index=0, part=self._part(self.text))

    def _part(self, text: str) -> Event:
        return {"type": "summary_text", "text": text}


class Message(Item):
    """What the assistant says: its parts one after the other, each done as the next begins."""

    prefix = "msg"

    def __init__(self, answer: str, place: int) -> None:
        super().__init__(answer, place)
        self._parts: list[Event] = []  # those that are done
        self._kind = ""  # of the one that is not
        self._scores: list[Any] = []
        self._annotations: list[Event] = []

    def item(self, status: str) -> Event:
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": [*self._parts]}

    def more(self, text: str, kind: str = "", scores: Iterable[Any] = ()) -> Iterator[Event]:
        if kind != self._kind:
            yield from self.end("")
            self._kind = kind
            yield self._event("content_part.added", part=self._part())
        self._pieces.append(text)
        self._scores += scores
        scored = {"logprobs": [*scores]} if kind == "output_text" else {}
        yield self._event(f"{kind}.delta", delta=text, **scored)

    def annotate(self, annotations: Iterable[Event]) -> Iterator[Event]:
        """Say where the text that is open has it from, as OpenAI's responses do."""
        for annotation in annotations if self._kind == "output_text" else ():
            index = len(self._annotations)
            self._annotations.append(annotation)
            yield self._event("output_text.annotation.added", annotation_index=index, annotation=annotation)

    def end(self, status: str) -> Iterator[Event]:
        if self._kind:
            part = self._part()
            says = {name: part[name] for name in ("text", "refusal", "logprobs") if name in part}
            yield self._event(f"{self._kind}.done", **says)
            yield self._event("content_part.done", part=part)
            self._parts.append(part)
            self._kind, self._pieces, self._scores, self._annotations = "", [], [], []

    def _event(self, name: str, **says: Any) -> Event:
        return self.event(name, content_index=len(self._parts), **says)

    def _part(self) -> Event:
        if self._kind == "refusal":
            return {"type": "refusal", "refusal": self.text}
        beside = {"annotations": [*self._annotations], "logprobs": [*self._scores]}
        return {"type": "output_text", **beside, "text": self.text}


class Call(Item):
    """A call of a tool."""

    def __init__(self, answer: str, place: int, custom: bool, call_id: str, name: str) -> None:
        self.prefix = "ctc" if custom else "fc"
        super().__init__(answer, place)
        self._custom = custom
        self._whose = {"call_id": call_id, "name": name}

    def item(self, status: str) -> Event:
        if self._custom:
            return {"id": self.id, "type": "custom_tool_call", **self._whose, "input": self.text}
        return {"id": self.id, "type": "function_call", "status": status, **self._whose, "arguments": self.text}

    def more(self, text: str, kind: str = "", scores: Iterable[Any] = ()) -> Iterator[Event]:
        if text:
            self._pieces.append(text)
            name = "custom_tool_call_input" if self._custom else "function_call_arguments"
            yield self.event(f"{name}.delta", delta=text)

    def end(self, status: str) -> Iterator[Event]:
        if self._custom:
            yield self.event("custom_tool_call_input.done", input=self.text)
            return
        if not self._pieces and status == "completed":  # some vendors' calls without arguments
            yield from self.more("{}")
        yield {**self.event("function_call_arguments.done", arguments=self.text), "name": self._whose["name"]}
