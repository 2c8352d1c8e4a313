"""The table of docs/translation.md: what becomes of each field at each kind of provider, as the code does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from gateway.model import Dialect
from gateway.schemas.anthropic import MessagesSchema
from gateway.schemas.openai import ChatSchema
from gateway.schemas.responses import ResponsesSchema
from gateway.wire import anthropic_from_chat, gemini_requests, openai_requests
from gateway.wire.fields import APIS, INDISPENSABLE, NAMES, ApiName, Fate, Untranslatable, fate, only_known

# The kinds of providers, the API that each speaks, and the dialects that pass to it as they are.
_KINDS: Mapping[str, tuple[ApiName, frozenset[Dialect]]] = {
    "`openai`, `azure`": ("openai", frozenset({"openai", "responses"})),
    "others of OpenAI's API": ("openai", frozenset({"openai"})),
    "`anthropic`": ("anthropic", frozenset({"anthropic"})),
    "`gemini`": ("gemini", frozenset()),
}
_CLIENTS: Mapping[Dialect, tuple[str, Iterable[str]]] = {
    "openai": ("POST /v1/chat/completions", ChatSchema().fields),
    "responses": ("POST /v1/responses", ResponsesSchema().fields),
    "anthropic": ("POST /v1/messages", MessagesSchema().fields),
}
_OURS = frozenset({"model", "stream", "stream_options", "user"})
_STANDS_IN: Mapping[tuple[Dialect, str], tuple[str, ...]] = {  # where a field has its place once it has been understood
    ("responses", "instructions"): ("messages",),
    ("responses", "text"): ("text.format", "text.verbosity"),
    ("responses", "reasoning"): ("reasoning.effort", "reasoning"),
    ("anthropic", "system"): ("messages",),
    ("anthropic", "output_config"): ("output_config.format", "output_config"),
}
_URL = "data:image/png;base64,aGk="
_ASKED: Mapping[str, Mapping[str, Any]] = {  # what a field may hold
    "text": {"type": "text", "text": "Hi"},
    "an image": {"type": "image_url", "image_url": {"url": _URL}},
    "an image by its address": {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
    "a document": {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
    "a file by its id": {"type": "file", "file": {"file_id": "file-1"}},
    "sound": {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    "a thought of Anthropic's": {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
    "a cache mark": {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
_CALLED = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": None, "tool_calls": [_CALL]}]
_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
_SCHEMA = {"name": "answer", "schema": {"type": "object"}}
_WHOLES: Mapping[str, Mapping[str, Any]] = {
    "a call of a tool, and its result": {
        "messages": [*_CALLED, {"role": "tool", "tool_call_id": "call_1", "content": "It rains."}]
    },
    "a result that is an error": {
        "messages": [*_CALLED, {"role": "tool", "tool_call_id": "call_1", "content": "No.", "is_error": True}]
    },
    "an image as a result": {
        "messages": [*_CALLED, {"role": "tool", "tool_call_id": "call_1", "content": [_ASKED["an image"]]}]
    },
    "a tool that is a function": {"tools": [_TOOL]},
    "a tool of free text": {"tools": [{"type": "custom", "custom": {"name": "look"}}]},
    "a tool that the vendor runs, as web search": {"tools": [{"type": "web_search"}]},
    "an answer in JSON of a schema": {"response_format": {"type": "json_schema", "json_schema": _SCHEMA}},
    "an answer in any JSON": {"response_format": {"type": "json_object"}},
}
_WRITERS: Mapping[ApiName, Callable[[Mapping[str, Any]], object]] = {
    "openai": lambda asked: openai_requests.from_chat(asked, "max_tokens"),
    "anthropic": lambda asked: anthropic_from_chat.from_chat(asked, "claude-haiku-4-5", 4096),
    "gemini": lambda asked: gemini_requests.from_chat(asked, "gemini-2.5-flash"),
}


@click.command()
def translation() -> None:
    """Print docs/translation.md: what becomes of each field of a request at each kind of provider."""
    click.echo(table(), nl=False)


def table() -> str:
    """The whole page, as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield from (
        "# What becomes of a request's fields",
        "",
        "Made by `make docs` from the code. A provider of the client's own dialect gets the request as it came, but "
        "for the model's name, the usage option and an enforced cap: **passes**. Every other one gets it in its own "
        "API's words: **translated**. What that API has nothing like is **refused** with a 400 that names field and "
        "provider; hints, without which the answer is as good, are **dropped** and named in the header "
        "`x-gateway-dropped`, or refused too where the model says `on_unsupported: refuse`. Where a provider stands in "
        "for another one that failed, whatever can be dropped is, and named. Fields that no dialect documents pass or "
        "are dropped.",
    )
    for dialect, (route, fields) in _CLIENTS.items():
        yield from ("", f"## `{route}`", "", *_head("field"))
        for name in _names(dialect, fields):
            yield _row(f"`{name}`", [_becomes(dialect, name, *kind) for kind in _KINDS.values()])
    yield from ("", "## Within messages and tools, between dialects", "", *_head("what", APIS))
    for what, part in _ASKED.items():
        yield _row(what, [_tried({"messages": [{"role": "user", "content": [part]}]}, api) for api in APIS])
    for what, asked in _WHOLES.items():
        yield _row(what, [_tried({"messages": _CALLED[:1], **asked}, api) for api in APIS])


def _head(first: str, columns: Sequence[str] = tuple(_KINDS)) -> tuple[str, str]:
    return _row(first, columns), _row("---", ["---"] * len(columns))


def _row(first: str, cells: Any) -> str:
    return f"| {' | '.join([first, *cells])} |"


def _names(dialect: Dialect, fields: Iterable[str]) -> list[str]:
    found = [part for name in fields for part in _STANDS_IN.get((dialect, name), ()) if part != "messages"]
    return sorted({*fields, *found} - {"text"})


def _becomes(dialect: Dialect, name: str, api: ApiName, dialects: frozenset[Dialect]) -> str:
    if name in _OURS or (dialect, name) == ("anthropic", "metadata"):
        return "the gateway's"
    if dialect in dialects:
        return "passes"
    own = {word: hub for hub, word in NAMES[dialect].items()}.get(name)
    hub = own or _STANDS_IN.get((dialect, name), (name,))[-1]
    return (Fate.REFUSED if hub in INDISPENSABLE else fate(hub, api)).name.lower()


def _tried(asked: Mapping[str, Any], api: ApiName) -> str:
    """What the code does with it."""
    try:
        kept, left_out = only_known(asked, api, lenient=False)
        _WRITERS[api](kept)
    except Untranslatable:
        return "refused"
    return "dropped" if left_out else "translated"
