"""Which of a request's tools the built-in provider calls, and how the call looks in OpenAI's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from gateway.providers.samples import sample


@dataclass(frozen=True, slots=True)
class Tool:
    """One thing that a model may call.

    Attributes:
        kind: "custom" takes any text; "deprecated" is one of the request's `functions`, which came before `tools`.
        name: its name.
        parameters: the JSON schema of what it takes; nothing for a custom one.
    """

    kind: Literal["function", "custom", "deprecated"]
    name: str
    parameters: Mapping[str, Any]

    @property
    def finish_reason(self) -> str:
        return "function_call" if self.kind == "deprecated" else "tool_calls"

    def least(self) -> str:
        """The least that it can be called with."""
        return "" if self.kind == "custom" else orjson.dumps(sample({"type": "object", **self.parameters})).decode()

    def takes(self, given: str) -> bool:
        """Whether a text can be what it is called with."""
        try:
            return self.kind == "custom" or isinstance(orjson.loads(given), dict)
        except orjson.JSONDecodeError:
            return False

    def in_message(self, given: str, call_id: str) -> dict[str, Any]:
        """The fields of a message that calls it."""
        if self.kind == "deprecated":
            return {"function_call": {"name": self.name, "arguments": given}}
        told = {"name": self.name, "input" if self.kind == "custom" else "arguments": given}
        return {"tool_calls": [{"id": call_id, "type": self.kind, self.kind: told}]}


def called(asked: Mapping[str, Any], role: str, text: str) -> tuple[Tool, str] | None:
    """The tool that the answer calls, and with what; None for an answer in words.

    Args:
        asked: the fields of the request. What it insists on is called; where it leaves the choice, a user's
            `call NAME` or `call NAME {"some": "JSON"}` is obeyed.
        role: of the last message.
        text: of the last message.

    Raises:
        ValueError: it insists on a tool that it does not bring, or on one whose parameters cannot be.
    """
    tools = {tool.name: tool for tool in _tools(asked)}
    choice = asked.get("tool_choice") or asked.get("function_call") or "auto"
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice["allowed_tools"]
        tools = {name: tools[name] for name in map(_name, allowed["tools"])}
        choice = allowed["mode"]
    if choice == "none":
        return None
    if choice == "required" or isinstance(choice, dict):
        tool = tools.get(_name(choice) if isinstance(choice, dict) else next(iter(tools), ""))
        if tool is None:
            raise ValueError("it insists on a tool that it does not bring")
        return tool, tool.least()
    return _obeyed(tools, text) if role == "user" else None


def _tools(asked: Mapping[str, Any]) -> list[Tool]:
    given = [(tool["type"], tool[tool["type"]]) for tool in asked.get("tools") or ()]
    given += [("deprecated", function) for function in asked.get("functions") or ()]
    return [Tool(kind, told["name"], told.get("parameters") or {}) for kind, told in given]


def _name(tool: Mapping[str, Any]) -> str:
    """The name in `{"type": "function", "function": {"name": "..."}}`, or in the deprecated `{"name": "..."}`."""
    name: str = (tool[tool["type"]] if "type" in tool else tool)["name"]
    return name


def _obeyed(tools: Mapping[str, Tool], text: str) -> tuple[Tool, str] | None:
    command, name, given = [*text.split(None, 2), "", "", ""][:3]
    if command != "call" or name not in tools:
        return None
    tool = tools[name]
    if not given:
        return tool, tool.least()
    return (tool, given.rstrip()) if tool.takes(given) else None
