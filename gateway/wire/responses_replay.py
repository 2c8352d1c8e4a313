"""A whole response of OpenAI's as the stream that would have ended with it.

Events: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.wire.chat_pieces import objects_of, text_of

Event = dict[str, Any]

_UNTOLD: Mapping[str, Any] = {  # of a response, before there is any output
    "status": "in_progress", "output": [], "usage": None, "error": None, "incomplete_details": None,
    "completed_at": None,
}  # fmt: skip
_ENDS = ("completed", "incomplete", "failed")
# The type of a part -> the field of it that is told piece by piece, the event that tells it, and the one around it.
_PARTS = {
    "output_text": ("text", "output_text", "content_part"),
    "refusal": ("refusal", "refusal", "content_part"),
    "reasoning_text": ("text", "reasoning_text", "content_part"),
    "summary_text": ("text", "reasoning_summary_text", "reasoning_summary_part"),
}
_LISTS = {"content": "content_index", "summary": "summary_index"}  # of an item: of its parts
_CALLS = {  # the type of an item -> the same, but for what is around
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
}


def events(response: Mapping[str, Any]) -> Iterator[Event]:
    """The events that tell all of a response; the last one holds it as it is."""
    for number, event in enumerate(_events(response)):
        yield {"type": f"response.{event.pop('type')}", "sequence_number": number, **event}


def _events(response: Mapping[str, Any]) -> Iterator[Event]:
    head = {**response, **{name: value for name, value in _UNTOLD.items() if name in response}}
    for name in ("created", "in_progress"):
        yield {"type": name, "response": head}
    for place, item in enumerate(objects_of(response.get("output"))):
        yield {"type": "output_item.added", "output_index": place, "item": _begun(item)}
        for event in _told(item):
            yield {**event, "item_id": text_of(item.get("id")), "output_index": place}
        yield {"type": "output_item.done", "output_index": place, "item": item}
    status = response.get("status")
    yield {"type": status if status in _ENDS else "completed", "response": response}


def _begun(item: Mapping[str, Any]) -> Event:
    """An item before anything is told of it; the whole one, where nothing is told apart."""
    kind = item.get("type")
    untold: Event
    if kind in _CALLS:
        untold = {_CALLS[kind][0]: ""}
    elif kind in ("message", "reasoning"):
        untold = {name: [] for name in _LISTS if isinstance(item.get(name), list)}
    else:
        return dict(item)
    return {**item, **untold, **({"status": "in_progress"} if item.get("status") else {})}


def _told(item: Mapping[str, Any]) -> Iterator[Event]:
    kind = item.get("type")
    if kind in _CALLS:
        name, told = _CALLS[kind]
        yield from _text(item, name, told, {}, {"name": item.get("name")} if kind == "function_call" else {})
    elif kind in ("message", "reasoning"):
        for list_, index in _LISTS.items():
            for at, part in enumerate(objects_of(item.get(list_))):
                yield from ({**event, index: at} for event in _part(part))


def _part(part: Mapping[str, Any]) -> Iterator[Event]:
    name, told, around = _PARTS.get(text_of(part.get("type")), ("text", "", "content_part"))
    scores = {"logprobs": part.get("logprobs") or []} if told == "output_text" else {}
    untold: Event = {name: ""} | {beside: [] for beside in ("annotations", "logprobs") if beside in part}
    yield {"type": f"{around}.added", "part": {**part, **untold} if told else part}
    if told:
        yield from _text(part, name, told, scores, scores)
    for index, annotation in enumerate(objects_of(part.get("annotations"))):
        yield {"type": "output_text.annotation.added", "annotation_index": index, "annotation": annotation}
    yield {"type": f"{around}.done", "part": part}


def _text(of: Mapping[str, Any], name: str, told: str, beside: Event, at_the_end: Event) -> Iterator[Event]:
    text = text_of(of.get(name))
    if text:
        yield {"type": f"{told}.delta", "delta": text, **beside}
    yield {"type": f"{told}.done", name: text, **at_the_end}
