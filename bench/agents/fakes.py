"""Fake vendors: they have an agent read a file, quote what it found, remember what came, and keep books on what they
would bill."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.agents.dialects import Fields, Step, chat, messages, responses
from bench.agents.recording import Answer, Exchange, listening
from gateway.model import Usage

FILE = "secret.txt"
PROMPT = f"Which word does the file {FILE} hold? Read it with a tool."

# The tools that agents read with, by name: what a model would call them with.
_READ = f"cat {FILE}"
_STEPS = (
    Step(json.dumps({"command": _READ, "description": "Read the file"}), "Bash"),
    Step(json.dumps({"command": _READ}), "bash"),
    Step(json.dumps({"cmd": _READ}), "exec_command"),
    Step(f"text(await tools.exec_command({json.dumps({'cmd': _READ})}));", "exec", custom=True),
)
_WORD = re.compile(rb"word-[0-9a-f]{16}")

# What a vendor says of a prompt that is too long, which agents look for the wording of; spaced as no library writes it.
_TOO_LONG = {
    "anthropic": b'{"type":"error",\n  "error" : {"type":"invalid_request_error" , '
    b'"message":"prompt is too long: 250000 tokens > 200000 maximum"}  }\n',
    "openai": b'{\n  "error":{  "message" : "Your input exceeds the context window of this model. Please adjust your '
    b'input and try again.",\n\t"type":"invalid_request_error","param":"input", "code":"context_length_exceeded"}}\n\n',
}
_ANSWERS: dict[tuple[str, str], Callable[[Fields, Step, Usage], list[bytes]]] = {
    ("anthropic", "/v1/messages"): messages,
    ("openai", "/v1/chat/completions"): chat,
    ("openai", "/v1/responses"): responses,
}


def new_word() -> str:
    """A word for the file, which nobody can guess."""
    return f"word-{secrets.token_hex(8)}"


@dataclass
class Vendor:
    """One of OpenAI and Anthropic.

    Attributes:
        url: where it listens, without a path.
        credential: that it takes.
        too_long: it finds each prompt too long.
        received: every request.
        account: what it bills, by the id that the gateway gave the call.
    """

    name: str
    url: str = ""
    credential: str = field(default_factory=lambda: f"sk-{secrets.token_hex(20)}")
    too_long: bool = False
    received: list[Exchange] = field(default_factory=list)
    account: dict[str, Usage] = field(default_factory=dict)

    @contextmanager
    def open(self) -> Iterator[Vendor]:
        with listening(self._respond, self.received) as self.url:
            yield self

    def _respond(self, came: Exchange) -> Answer:
        answer = _ANSWERS.get((self.name, came.route))
        if came.method != "POST" or answer is None:
            return self._whole(404, b'{"error": {"type": "not_found_error", "message": "no such path"}}')
        if self.credential not in (came.headers.get("x-api-key"), came.headers.get("authorization", "")[7:]):
            return self._whole(401, b'{"error": {"type": "authentication_error", "message": "wrong key"}}')
        call = came.headers.get("x-request-id", secrets.token_hex(8))
        if self.too_long:
            self.account[call] = Usage(0, 0)
            return self._whole(400, _TOO_LONG[self.name])
        asked = json.loads(came.body)
        usage = self.account[call] = self._used(len(came.body))
        pieces = answer(asked, next_step(asked, came.body), usage)
        if not asked.get("stream"):
            return self._whole(200, *pieces)
        return Answer(200, {"content-type": "text/event-stream; charset=utf-8", **self._own()}, pieces)

    def _whole(self, status: int, body: bytes) -> Answer:
        return Answer(
            status, {"content-type": "application/json", "content-length": str(len(body)), **self._own()}, [body]
        )

    def _own(self) -> dict[str, str]:
        return {"request-id" if self.name == "anthropic" else "x-request-id": f"req_{secrets.token_hex(8)}"}

    def _used(self, size: int) -> Usage:
        """Tokens such as a prompt of so many bytes may have, of each kind that the vendor bills."""
        prompt = size // 5 + secrets.randbelow(50)
        cached, written = prompt // 2 + secrets.randbelow(9), prompt // 7 + secrets.randbelow(9)
        for_1h = written // 3 if self.name == "anthropic" else 0
        return Usage(
            prompt, 40 + secrets.randbelow(50), cached, written, 7 + secrets.randbelow(20), written_for_1h=for_1h
        )


def next_step(asked: Fields, body: bytes) -> Step:
    """Quote the word once it has come, else read the file with the first tool that can."""
    if found := _WORD.search(body):
        return Step(f"The file holds the word {found[0].decode()}.")
    offered = set(_names([asked.get("tools"), asked.get("input")]))
    return next((step for step in _STEPS if step.tool in offered), Step("Which word a file holds"))


def _names(tools: Any) -> Iterator[str]:
    """Names of tools, however deep they stand: in namespaces, and in items of an input that bring some."""
    if isinstance(tools, list):
        for each in tools:
            yield from _names(each)
    elif isinstance(tools, dict):
        yield str(tools.get("name"))
        yield from _names(tools.get("tools"))
        yield from _names(tools.get("function"))
