"""Requests for a response in OpenAI's newer API, as its chat would ask for the same.

Shapes: https://platform.openai.com/docs/api-reference/responses/create. What a chat has no place for keeps the name
that it has here. Thoughts come and go as items of type `reasoning`; their `encrypted_content`, which clients hand back
unread, is what `gateway.wire.signatures` makes of what vendors have sealed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.wire.edit import edited
from gateway.wire.fields import beside
from gateway.wire.signatures import OURS, is_ours, is_sealed, shown, unsealed

_SAME = (
    "context_management", "conversation", "include", "max_tool_calls", "metadata", "moderation", "parallel_tool_calls",
    "previous_response_id", "prompt", "service_tier", "temperature", "top_p",
)  # fmt: skip
_USUAL = {"background": False, "store": False, "truncation": "disabled"}  # what asks for nothing
_LOGPROBS = "message.output_text.logprobs"  # of `include`
_OF_FUNCTION = ("name", "description", "parameters", "strict")
_OF_CUSTOM = ("name", "description", "format")
_OF_FILE = ("file_id", "filename")
_OF_MESSAGE = frozenset({"type", "id", "status", "role", "content", "phase"})
_OF_PART = frozenset({
    "type", "text", "refusal", "image_url", "detail", "file_data", "file_url", "filename", "annotations",
    "logprobs",
})  # fmt: skip


def to_chat(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a request for a response asks for, as a chat would. The document is one that its schema has accepted. What
    does not bear on the answer is left out: the model, the user, how it is delivered and kept at hand."""
    conversation = _Conversation()
    if instructions := document.get("instructions"):
        conversation.add({"role": "system", "content": instructions})
    given = document.get("input")
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else given or ():
        conversation.add(item)
    asked: dict[str, Any] = {"messages": conversation.messages}
    asked |= {name: document[name] for name in _SAME if document.get(name) is not None}
    asked |= {name: document[name] for name, usual in _USUAL.items() if document.get(name) not in (None, usual)}
    if most := document.get("max_output_tokens"):
        asked["max_completion_tokens"] = most
    if document.get("tools"):
        asked["tools"] = [_tool(tool) for tool in document["tools"]]
    if document.get("tool_choice") is not None:
        asked["tool_choice"] = _choice(document["tool_choice"])
    return asked | _scores(document) | _form(document.get("text") or {}) | _effort(document.get("reasoning") or {})


def _scores(document: Mapping[str, Any]) -> dict[str, Any]:
    top = document.get("top_logprobs")
    wanted = bool(top) or _LOGPROBS in (document.get("include") or ())
    return ({"logprobs": True} if wanted else {}) | ({"top_logprobs": top} if top else {})


def _form(text: Mapping[str, Any]) -> dict[str, Any]:
    asked, form = {}, text.get("format") or {}
    if form.get("type") == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type"}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form and form["type"] != "text":
        asked["response_format"] = form
    if text.get("verbosity"):
        asked["verbosity"] = text["verbosity"]
    rest = {name: value for name, value in text.items() if name not in ("format", "verbosity")}
    return asked | ({"text": rest} if rest else {})


def _effort(reasoning: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in reasoning.items() if name != "effort" and value is not None}
    asked: dict[str, Any] = {"reasoning": rest} if rest else {}
    return asked | ({"reasoning_effort": reasoning["effort"]} if reasoning.get("effort") else {})


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = tool["type"]
    if kind not in ("function", "custom"):
        return dict(tool)  # one that the vendor runs itself: another vendor does not know its type
    inner = _OF_FUNCTION if kind == "function" else _OF_CUSTOM
    told = {name: tool[name] for name in inner if tool.get(name) is not None}
    form = told.get("format") or {}
    if form.get("type") == "grammar":
        grammar = {name: value for name, value in form.items() if name != "type"}
        told["format"] = {"type": "grammar", "grammar": grammar}
    rest = {name: value for name, value in tool.items() if name not in (*inner, "type")}
    return {"type": kind, kind: told, **rest}


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind in ("function", "custom"):
        return {"type": kind, kind: {"name": choice["name"]}}
    if kind == "allowed_tools":
        tools = [_choice(tool) for tool in choice["tools"]]
        return {"type": kind, kind: {"mode": choice.get("mode") or "auto", "tools": tools}}
    return dict(choice)


class _Conversation:
    """Puts messages together of items: what the assistant said in a row is one, as results have to follow its calls."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._signature: str | None = None  # Google's, of the call that follows

    def add(self, item: Mapping[str, Any]) -> None:
        signature, self._signature = self._signature, None
        kind = item.get("type") or ("message" if "role" in item else "item_reference")
        if kind == "message":
            self._message(item)
        elif kind == "reasoning":
            self._thought(item)
        elif kind in ("function_call", "custom_tool_call"):
            self._assistant().setdefault("tool_calls", []).append(call_of(item, signature))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            content = _content(item["output"])
            self.messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
        else:  # a vendor of another dialect refuses a part of such a type
            self.messages.append({"role": "user", "content": [{**item, "type": kind}]})

    def _message(self, item: Mapping[str, Any]) -> None:
        content = _content(item["content"])
        more = beside("responses", item, _OF_MESSAGE)
        if item["role"] != "assistant":
            self.messages.append({"role": item["role"], "content": content, **more})
            return
        turn = self._assistant()
        turn |= more
        if turn["content"]:
            turn["content"] = _parts(turn["content"])
            turn["content"] += _parts(content)
        else:
            turn["content"] = content

    def _thought(self, item: Mapping[str, Any]) -> None:
        block, self._signature = thought_of(item)
        if block:
            self._assistant().setdefault("thinking_blocks", []).append(block)
        elif not item.get("encrypted_content") and item.get("id"):
            self._assistant()["reasoning_id"] = item["id"]  # OpenAI looks it up; nobody else can

    def _assistant(self) -> dict[str, Any]:
        if not (self.messages and self.messages[-1]["role"] == "assistant"):
            self.messages.append({"role": "assistant", "content": None})
        return self.messages[-1]


def call_of(item: Mapping[str, Any], signature: str | None) -> dict[str, Any]:
    """An item that calls a tool, as a chat's call.

    Args:
        item: of type `function_call` or `custom_tool_call`.
        signature: Google's, of this call, as it is sealed.
    """
    if item["type"] == "function_call":
        told: dict[str, Any] = {"type": "function", "function": {name: item[name] for name in ("name", "arguments")}}
    else:
        told = {"type": "custom", "custom": {name: item[name] for name in ("name", "input")}}
    return {"id": item["call_id"], **told, **unsealed(signature)}


def thought_of(item: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
    """An item of type `reasoning` as a block of thought, or else as Google's signature of the call behind it; neither
    of one that says nothing."""
    seal = item.get("encrypted_content") or ""
    if is_sealed(seal):
        return None, seal
    return shown(seal, "\n\n".join(part["text"] for part in item.get("summary") or item.get("content") or ())), None


def without_foreign(body: bytes) -> bytes:
    """A request on its way to OpenAI, without the thoughts of answers that others gave, which it would refuse; the same
    bytes where it has none of these.

    Args:
        body: one that its schema has accepted.
    """
    if OURS.encode() not in body:
        return body
    items = orjson.loads(body).get("input")
    given = items if isinstance(items, list) else []
    kept = [item for item in given if not (item.get("type") == "reasoning" and is_ours(item.get("encrypted_content")))]
    return edited(body, {"input": kept}) if len(kept) < len(given) else body


def _content(content: Any) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _parts(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind in ("input_text", "output_text"):
        made: dict[str, Any] = {"type": "text", "text": part["text"]}
    elif kind == "refusal":
        made = {"type": kind, kind: part[kind]}
    elif kind == "input_image" and part.get("image_url"):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        made = {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    elif kind == "input_file":
        data = part.get("file_data") or part.get("file_url")
        named = {name: part[name] for name in _OF_FILE if part.get(name)}
        part = {name: value for name, value in part.items() if name not in _OF_FILE}
        made = {"type": "file", "file": ({"file_data": data} if data else {}) | named}
    else:  # an image by the id of its file, among others
        return dict(part)
    return {name: value for name, value in beside("responses", part, _OF_PART).items() if value} | made
