"""What translation costs: the CPU time between a client's bytes and a vendor's, and back, of each pair of dialects.

    python -m bench.translation

Each figure is the least of several rounds in one process. Where the dialects are the same, the bytes pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import click
import orjson

from bench.kernel import loop_us
from bench.scenarios import agent, message
from gateway.model import Answer, Completion, Dialect, ModelRequest, Target, Usage
from gateway.providers.base import Translation
from gateway.providers.fitting import fitted
from gateway.schemas import anthropic, anthropic_stream, openai, openai_stream, responses, responses_stream
from gateway.services.relay import Writer
from gateway.wire import anthropic_events, gemini_events, gemini_requests, openai_requests, sse
from gateway.wire.anthropic_from_chat import from_chat
from gateway.wire.edit import edited
from gateway.wire.fields import ApiName

_ROUNDS = 7
_SECONDS = 0.05  # of one round
_PIECES = 200  # chunks of a streamed answer
_DONE = Answer(Completion(b""), Usage(1, _PIECES), 0, Target("up", "m"))
_CHUNK = {
    "id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m",
    "choices": [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}],
}  # fmt: skip
_DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}
_GENERATED = {"candidates": [{"content": {"parts": [{"text": " word"}], "role": "model"}, "index": 0}]}

Document = dict[str, Any]


class _Vendor(NamedTuple):
    """As much of a provider as `fitted` looks at, and how it writes a request."""

    name: str
    api: ApiName
    dialects: frozenset[Dialect]
    write: Callable[[Document], Document]
    operations: frozenset[str] = frozenset({"chat"})

    def translate(self, request: ModelRequest, model: str) -> Translation:
        return Translation({"model": model, **self.write(dict(request.asked))})


class _Client(NamedTuple):
    """A dialect: how a chat is asked for in it, how that is read, and how a stream is written."""

    ask: Callable[[Document], Document]
    read: Callable[[Document, bytes], ModelRequest]
    writer: Callable[[ModelRequest], Writer]


def _chat(asked: Document) -> Document:
    return {"model": "m", **asked}


def _response(asked: Document) -> Document:
    tools = [{"type": "function", **tool["function"]} for tool in asked.get("tools", ())]
    return {"model": "m", "input": asked["messages"], "tools": tools, "max_output_tokens": asked["max_tokens"]}


def _message(asked: Document) -> Document:
    said: dict[bool, list[Any]] = {True: [], False: []}
    for turn in asked["messages"]:
        said[turn["role"] == "system"].append(turn)
    system = [{"type": "text", "text": turn["content"]} for turn in said[True]]
    tools = [{**tool["function"], "input_schema": tool["function"]["parameters"]} for tool in asked.get("tools", ())]
    for tool in tools:
        del tool["parameters"]
    return {"model": "m", "max_tokens": asked["max_tokens"], "system": system, "messages": said[False], "tools": tools}


_CLIENTS = {
    "chat": _Client(_chat, openai.read_chat, lambda _: openai_stream.StreamWriter(include_usage=False)),
    "responses": _Client(_response, responses.read_responses, responses_stream.StreamWriter),
    "messages": _Client(
        _message,
        lambda document, body: anthropic.read_messages(document, body, {}),
        lambda _: anthropic_stream.StreamWriter(),
    ),
}
_VENDORS = (
    _Vendor(
        "openai", "openai", frozenset({"openai", "responses"}), lambda it: openai_requests.from_chat(it, "max_tokens")
    ),
    _Vendor("anthropic", "anthropic", frozenset({"anthropic"}), lambda it: from_chat(it, "m", 256)),
    _Vendor("gemini", "gemini", frozenset(), lambda it: gemini_requests.from_chat(it, "m")),
)


def _there(body: bytes, client: _Client, vendor: Any) -> bytes:
    """From a client's bytes to a vendor's."""
    request, _ = fitted(client.read(orjson.loads(body), body), vendor, "m", refuse_hints=False, lenient=False)
    return edited(request.body or b"", {} if request.is_translated else {"model": "m2"})


def _back(client: _Client, chunks: Callable[[], Iterator[Document]]) -> bytes:
    """From a vendor's events to a client's."""
    document = client.ask(message())
    writer = client.writer(client.read(document, orjson.dumps(document)))
    told = [writer.events(sse.event(orjson.dumps(chunk)), "openai") for chunk in chunks()]
    return b"".join([*told, writer.end(_DONE)])


def _of_openai() -> Iterator[Document]:
    return (_CHUNK for _ in range(_PIECES))


def _of_anthropic() -> Iterator[Document]:
    made = anthropic_events.ToChat(1)
    return (chunk for _ in range(_PIECES) for chunk in made.chunks(_DELTA))


def _of_gemini() -> Iterator[Document]:
    made = gemini_events.ToChat(1, "m")
    return (chunk for _ in range(_PIECES) for chunk in made.chunks(_GENERATED))


_EVENTS = {"openai": _of_openai, "anthropic": _of_anthropic, "gemini": _of_gemini}


def _least_us(work: Callable[[], object]) -> float:
    """Microseconds of CPU time of one call, the least of several rounds."""
    least = float("inf")
    for _ in range(_ROUNDS):
        began, calls, spent = time.process_time(), 0, 0.0
        while spent < _SECONDS:
            work()
            calls += 1
            spent = time.process_time() - began
        least = min(least, spent / calls)
    return least * 1_000_000


@click.command()
def main() -> None:
    """Print the CPU microseconds of each pair of a client's dialect and a vendor's API; in brackets, times the least of
    the row."""
    click.echo(f"a core's loop: {loop_us(0):.0f} us")
    for what, asked in (("a short prompt", message()), ("a coding agent's, 125 kB", agent())):
        click.echo(f"\n{what}, there:")
        for name, client in _CLIENTS.items():
            body = orjson.dumps(client.ask(asked))
            _print(name, {vendor.name: partial(_there, body, client, vendor) for vendor in _VENDORS})
    click.echo(f"\na stream of {_PIECES} chunks, back:")
    for name, client in _CLIENTS.items():
        _print(name, {vendor: partial(_back, client, chunks) for vendor, chunks in _EVENTS.items()})


def _print(client: str, works: dict[str, Callable[[], object]]) -> None:
    figures = {vendor: _least_us(work) for vendor, work in works.items()}
    least = min(figures.values())
    cells = (f"{vendor} {us:9.1f} ({us / least:4.1f} x)" for vendor, us in figures.items())
    click.echo(f"  {client:10}  {'   '.join(cells)}")


if __name__ == "__main__":
    main()
