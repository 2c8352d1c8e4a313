"""Three official clients behind one interface: OpenAI's SDK with chats and with responses, and Anthropic's."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import anthropic
import openai
from pydantic import BaseModel

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # of 70 bytes
_PICTURE = f"data:image/png;base64,{PNG}"
_PLACES = {"type": "object", "properties": {"town": {"type": "string"}, "days": {"type": "integer"}},
           "required": ["town", "days"], "additionalProperties": False}  # fmt: skip
_TOOLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("weather", "The weather in a town", _PLACES),
    ("clock", "What time it is", {"type": "object", "properties": {}, "additionalProperties": False}),
)


class Town(BaseModel):
    """What an answer is to be parsed into."""

    name: str
    people: int


class Tokens(NamedTuple):
    """Tokens of a call as the gateway counts them: those of the cache are of the prompt, thoughts of the completion."""

    prompt: int
    completion: int
    cached: int = 0
    thought: int = 0
    written: int = 0


class Call(NamedTuple):
    """A tool that the model calls."""

    id: str
    name: str
    arguments: Any


@dataclass
class Seen:
    """What a client sees of an answer.

    Attributes:
        reason: why it ends, in the client's own words.
        turn: what the client sends back to go on.
    """

    text: str
    refusal: str
    reason: str
    tokens: Tokens
    turn: list[Any]
    calls: list[Call] = field(default_factory=list)
    parsed: Any = None


class Client:
    """A client of one gateway.

    Args:
        url: the gateway's.
        key: for it.

    Attributes:
        headers: of every response so far.
        smallest: number of tokens to which an answer may be capped.
    """

    smallest = 3
    _sdk: Any

    def __init__(self, url: str, key: str) -> None:
        self.headers: list[Any] = []
        self._open(url, key, {"response": [lambda response: self.headers.append(response.headers)]})

    def _open(self, url: str, key: str, hooks: Any) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Give its connections back."""
        self._sdk.close()

    def said(self, text: str, picture: bool = False) -> list[Any]:
        """What a user says, and shows."""
        raise NotImplementedError

    def results(self, told: dict[str, str]) -> list[Any]:
        """What the tools told, by the ids of their calls."""
        raise NotImplementedError

    def ask(
        self, model: str, turns: list[Any], user: str, stream: bool, tools: bool = False, parse: bool = False,
        cap: int | None = None, **more: Any,
    ) -> Seen:  # fmt: skip
        """Have the conversation go on.

        Args:
            user: whom it is for.
            tools: the model may use them.
            parse: the answer is to be a `Town`.
            cap: of its tokens.
            more: fields of the client's own.
        """
        request = {"model": model, **self._request(turns, user, tools, cap), **more}
        return self._streamed(request, parse) if stream else self._whole(request, parse)

    def _request(self, turns: list[Any], user: str, tools: bool, cap: int | None) -> dict[str, Any]:
        raise NotImplementedError

    def _whole(self, request: dict[str, Any], parse: bool) -> Seen:
        raise NotImplementedError

    def _streamed(self, request: dict[str, Any], parse: bool) -> Seen:
        raise NotImplementedError


class _OfOpenAI(Client):
    def _open(self, url: str, key: str, hooks: Any) -> None:
        http = openai.DefaultHttpxClient(event_hooks=hooks)
        self._sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=20, http_client=http)


class Chat(_OfOpenAI):
    """OpenAI's chat completions."""

    def said(self, text: str, picture: bool = False) -> list[Any]:
        shown = [{"type": "image_url", "image_url": {"url": _PICTURE}}]
        return [{"role": "user", "content": [{"type": "text", "text": text}, *shown] if picture else text}]

    def results(self, told: dict[str, str]) -> list[Any]:
        return [{"role": "tool", "tool_call_id": call, "content": text} for call, text in told.items()]

    def _request(self, turns: list[Any], user: str, tools: bool, cap: int | None) -> dict[str, Any]:
        declared = [
            {"name": name, "description": what, "parameters": form, "strict": True} for name, what, form in _TOOLS
        ]
        more = {"tools": [{"type": "function", "function": tool} for tool in declared]} if tools else {}
        return {"messages": turns, "user": user, **more, **({"max_completion_tokens": cap} if cap else {})}

    def _whole(self, request: dict[str, Any], parse: bool) -> Seen:
        chats = self._sdk.chat.completions
        return _of_chat(chats.parse(**request, response_format=Town) if parse else chats.create(**request))

    def _streamed(self, request: dict[str, Any], parse: bool) -> Seen:
        form: Any = {"response_format": Town} if parse else {}
        with self._sdk.chat.completions.stream(**request, stream_options={"include_usage": True}, **form) as events:
            for _ in events:
                pass
            return _of_chat(events.get_final_completion() if parse else events.current_completion_snapshot)


def _of_chat(whole: Any) -> Seen:
    (choice,) = whole.choices
    message, usage = choice.message, whole.usage
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    turn = message.to_dict(mode="json", warnings=False)
    turn.pop("parsed", None)
    for call in turn.get("tool_calls") or ():
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return Seen(
        text=message.content or "",
        refusal=message.refusal or "",
        reason=choice.finish_reason,
        tokens=Tokens(
            usage.prompt_tokens,
            usage.completion_tokens,
            prompt.cached_tokens or 0 if prompt else 0,
            completion.reasoning_tokens or 0 if completion else 0,
            prompt.cache_write_tokens or 0 if prompt else 0,
        ),
        turn=[turn],
        calls=[
            Call(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()
        ],
        parsed=getattr(message, "parsed", None),
    )


class Responses(_OfOpenAI):
    """OpenAI's responses."""

    smallest = 16  # OpenAI itself takes no less

    def said(self, text: str, picture: bool = False) -> list[Any]:
        shown = [{"type": "input_image", "image_url": _PICTURE, "detail": "auto"}]
        return [{"role": "user", "content": [{"type": "input_text", "text": text}, *shown] if picture else text}]

    def results(self, told: dict[str, str]) -> list[Any]:
        return [{"type": "function_call_output", "call_id": call, "output": text} for call, text in told.items()]

    def _request(self, turns: list[Any], user: str, tools: bool, cap: int | None) -> dict[str, Any]:
        declared = [
            {"name": name, "description": what, "parameters": form, "strict": True} for name, what, form in _TOOLS
        ]
        more = {"tools": [{"type": "function", **tool} for tool in declared]} if tools else {}
        return {"input": turns, "user": user, "store": False, **more, **({"max_output_tokens": cap} if cap else {})}

    def _whole(self, request: dict[str, Any], parse: bool) -> Seen:
        responses = self._sdk.responses
        return _of_response(responses.parse(**request, text_format=Town) if parse else responses.create(**request))

    def _streamed(self, request: dict[str, Any], parse: bool) -> Seen:
        form: Any = {"text_format": Town} if parse else {}
        with self._sdk.responses.stream(**request, **form) as events:
            last: Any = list(events)[-1]
        assert last.type == f"response.{last.response.status}"
        return _of_response(last.response)


def _of_response(whole: Any) -> Seen:
    usage = whole.usage
    said = [part for item in whole.output if item.type == "message" for part in item.content]
    turn = [item.to_dict(mode="json", warnings=False) for item in whole.output]
    for item in turn:
        item.pop("parsed_arguments", None)
        for part in item.get("content") or ():
            part.pop("parsed", None)
    return Seen(
        text="".join(part.text for part in said if part.type == "output_text"),
        refusal="".join(part.refusal for part in said if part.type == "refusal"),
        reason=whole.incomplete_details.reason if whole.incomplete_details else whole.status,
        tokens=Tokens(
            usage.input_tokens,
            usage.output_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.output_tokens_details.reasoning_tokens,
            usage.input_tokens_details.cache_write_tokens,
        ),
        turn=turn,
        calls=[
            Call(item.call_id, item.name, json.loads(item.arguments))
            for item in whole.output
            if item.type == "function_call"
        ],
        parsed=next((part.parsed for part in said if getattr(part, "parsed", None)), None),
    )


class Messages(Client):
    """Anthropic's messages."""

    def _open(self, url: str, key: str, hooks: Any) -> None:
        http = anthropic.DefaultHttpxClient(event_hooks=hooks)
        self._sdk = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20, http_client=http)

    def said(self, text: str, picture: bool = False) -> list[Any]:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        shown = [{"type": "image", "source": source}]
        return [{"role": "user", "content": [{"type": "text", "text": text}, *shown] if picture else text}]

    def results(self, told: dict[str, str]) -> list[Any]:
        blocks = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in told.items()]
        return [{"role": "user", "content": blocks}]

    def _request(self, turns: list[Any], user: str, tools: bool, cap: int | None) -> dict[str, Any]:
        declared = [{"name": name, "description": what, "input_schema": form} for name, what, form in _TOOLS]
        more = {"tools": declared} if tools else {}
        return {"messages": turns, "metadata": {"user_id": user}, "max_tokens": cap or 4096, **more}

    def _whole(self, request: dict[str, Any], parse: bool) -> Seen:
        messages = self._sdk.messages
        return _of_message(messages.parse(**request, output_format=Town) if parse else messages.create(**request))

    def _streamed(self, request: dict[str, Any], parse: bool) -> Seen:
        form: Any = {"output_format": Town} if parse else {}
        with self._sdk.messages.stream(**request, **form) as events:
            return _of_message(events.get_final_message())


def _of_message(whole: Any) -> Seen:
    usage, thought = whole.usage, whole.usage.output_tokens_details
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Seen(
        text="".join(block.text for block in whole.content if block.type == "text"),
        refusal="",  # there is no such thing, but a reason to stop
        reason=whole.stop_reason,
        tokens=Tokens(
            usage.input_tokens + read + written,
            usage.output_tokens,
            read,
            thought.thinking_tokens if thought else 0,
            written,
        ),
        turn=[{"role": "assistant", "content": whole.content}],
        calls=[Call(block.id, block.name, block.input) for block in whole.content if block.type == "tool_use"],
        parsed=getattr(whole, "parsed_output", None),
    )


CLIENTS: dict[str, type[Client]] = {"chat": Chat, "responses": Responses, "messages": Messages}
