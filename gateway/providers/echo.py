"""What the built-in provider says: OpenAI's answer to any request, made of the request alone."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.concurrency import give_way
from gateway.model import ModelRequest
from gateway.providers.logprobs import logprobs
from gateway.providers.samples import sample
from gateway.providers.tools import Tool, called
from gateway.wire.openai import MOST_VALUES

_MOST_DIMENSIONS = 4096
_DIMENSIONS = 256  # of an embedding where the request does not say
_MOST_INPUTS = 2048  # as OpenAI has it
_MOST_CHOICES = 128  # as OpenAI has it
_MOST_TEXT = 33_554_432  # characters of one answer

# Each is one token of o200k and of cl100k, with or without a space before it.
_WORDS = (
    "the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "on", "are", "as", "with", "his", "they",
    "at", "be", "this", "from", "have", "or", "by", "one", "had", "not", "but", "what", "all", "were", "when", "we",
)  # fmt: skip

TokenCount = Callable[[str], int]
PromptCount = Callable[[ModelRequest], int]


class Unanswerable(ValueError):
    """The request asks for what cannot be. `param` is the field at fault, if there is one."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class _Said:
    """One choice.

    Attributes:
        text: what is generated; of a tool's call, what it is called with.
        whole: it ended by itself, not at the request's limit.
        tool: what is called, if anything.
    """

    text: str
    whole: bool
    tool: Tool | None = None

    @property
    def finish_reason(self) -> str:
        if not self.whole:
            return "length"
        return self.tool.finish_reason if self.tool else "stop"


class Echo:
    """Makes whole answers, as OpenAI's JSON.

    Args:
        count: tokens of a text.
        count_prompt: tokens of a request's prompt, framing included.
    """

    def __init__(self, count: TokenCount, count_prompt: PromptCount) -> None:
        self._count = count
        self._count_prompt = count_prompt

    def answer(self, request: ModelRequest, model: str, call_id: str, tokens: int | None) -> dict[str, Any]:
        """The answer to a request.

        Args:
            request: what is asked.
            model: the model's name in the answer.
            call_id: what the answer's id is made of.
            tokens: the length of its text; None repeats what is said.

        Raises:
            Unanswerable: the request is not one of OpenAI's, or asks for more than there is.
        """
        try:
            if request.operation == "embeddings":
                return {"object": "list", **self._embeddings(request), "model": model}
            chat = request.operation == "chat"
            return {
                "id": f"{'chatcmpl' if chat else 'cmpl'}-{call_id}",
                "object": "chat.completion" if chat else "text_completion",
                "created": int(time.time()),
                "model": model,
                **(self._chat(request, call_id, tokens) if chat else self._completions(request, tokens)),
            }
        except Unanswerable:
            raise
        except ValueError as error:
            raise Unanswerable(f"The built-in provider cannot answer this request: {error}.") from error
        except (TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise Unanswerable("The built-in provider cannot read this request.") from error

    def _chat(self, request: ModelRequest, call_id: str, tokens: int | None) -> dict[str, Any]:
        asked = request.asked
        last = asked["messages"][-1]
        text = _text(last)
        if call := called(asked, last["role"], text):
            said = self._said(asked, call[1], call[0])
        else:
            text = text if tokens is None else filler(tokens, digest(text))
            said = self._said(asked, _formatted(text, asked.get("response_format") or {}))
        number = _number(asked, "n", 1, _MOST_CHOICES)
        length = len(said.text) * number
        _check_length(length)
        surety = None if said.tool else logprobs(asked, said.text, length, chat=True)
        choices = []
        for index in range(number):
            message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
            if said.tool:
                message |= {"content": None, **said.tool.in_message(said.text, f"call_{call_id}_{index}")}
            choices.append(_choice(index, said, {"message": message}, surety))
        return self._with_usage(request, choices, self._tokens(said) * number)

    def _completions(self, request: ModelRequest, tokens: int | None) -> dict[str, Any]:
        asked = request.asked
        number = _number(asked, "n", 1, _MOST_CHOICES)
        choices: list[dict[str, Any]] = []
        spent = length = 0
        for given in _several(asked.get("prompt") or "", "prompt"):
            prompt = given if isinstance(given, str) else filler(len(given), digest(given))
            said = self._said(asked, prompt if tokens is None else filler(tokens, digest(prompt)))
            text = prompt + said.text if asked.get("echo") else said.text
            spent, length = spent + self._tokens(said) * number, length + len(text) * number
            _check_length(length)
            surety = logprobs(asked, text, length, chat=False)
            choices += [_choice(len(choices) + more, said, {"text": text}, surety) for more in range(number)]
            give_way()
        return self._with_usage(request, choices, spent)

    def _with_usage(self, request: ModelRequest, choices: list[dict[str, Any]], spent: int) -> dict[str, Any]:
        prompt = self._count_prompt(request)
        usage = {"prompt_tokens": prompt, "completion_tokens": spent, "total_tokens": prompt + spent}
        return {"choices": choices, "usage": usage}

    def _embeddings(self, request: ModelRequest) -> dict[str, Any]:
        asked = request.asked
        inputs = _several(asked["input"], "input")
        dimensions = _number(asked, "dimensions", _DIMENSIONS, _MOST_DIMENSIONS)
        if len(inputs) * (dimensions + 4) > MOST_VALUES:
            raise Unanswerable("These are more and longer embeddings than one answer may hold.", "dimensions")
        data = []
        for index, text in enumerate(inputs):
            vector: Any = _vector(digest(text), dimensions)
            if asked.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
            data.append({"object": "embedding", "index": index, "embedding": vector})
            give_way()
        prompt = self._count_prompt(request)
        return {"data": data, "usage": {"prompt_tokens": prompt, "total_tokens": prompt}}

    def _tokens(self, said: _Said) -> int:
        return self._count(said.text) + (self._count(said.tool.name) if said.tool else 0)

    def _said(self, asked: Mapping[str, Any], text: str, tool: Tool | None = None) -> _Said:
        """The text up to where it is to stop: of that, the longest beginning of whole words with at most as many tokens
        as the request allows."""
        if tool is None:
            stop = asked.get("stop") or []
            ends = [text.find(end) for end in ([stop] if isinstance(stop, str) else stop) if end]
            text = text[: min((end for end in ends if end >= 0), default=None)]
        most = asked.get("max_completion_tokens") or asked.get("max_tokens")
        if most is None or self._count(text) <= most:
            return _Said(text, True, tool)
        words = text.split(" ")
        low, high = 0, min(len(words), most)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._count(" ".join(words[:middle])) <= most else (low, middle - 1)
        return _Said(" ".join(words[:low]), False, tool)


def said_last(request: ModelRequest) -> Any:
    """What an answer depends on: the last message's text, the prompt, or what is to be embedded."""
    if request.operation == "chat":
        return _text(request.asked["messages"][-1])
    return request.asked.get("prompt" if request.operation == "completions" else "input")


def digest(said: Any) -> bytes:
    """32 bytes that stand for a text, or for tokens."""
    # No text begins with the byte 255.
    return hashlib.sha256(said.encode() if isinstance(said, str) else b"\xff" + orjson.dumps(said)).digest()


def filler(tokens: int, seed: bytes) -> str:
    """Text of exactly `tokens` tokens, the same for the same 32 bytes."""
    return " ".join(_WORDS[(seed[index % 32] + index) % 32] for index in range(tokens))


def _text(message: Mapping[str, Any]) -> str:
    """What a message says in words; images and files say nothing."""
    content = message.get("content") or ""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    if not isinstance(content, str):
        raise TypeError("content is neither text nor parts")
    return content


def _formatted(text: str, asked: Mapping[str, Any]) -> str:
    """The answer in the form that the request asks for."""
    if asked.get("type") == "json_schema":
        return orjson.dumps(sample(asked["json_schema"].get("schema") or {})).decode()
    return orjson.dumps({"text": text}).decode() if asked.get("type") == "json_object" else text


def _several(given: Any, name: str) -> list[Any]:
    """The prompts or inputs of a request, each a text or a list of tokens, whether it brings one or more."""
    found = given if isinstance(given, list) and not all(isinstance(one, int) for one in given) else [given]
    if not all(isinstance(one, str | list) for one in found):
        raise Unanswerable(f"'{name}' must be texts or lists of tokens.", name)
    if given == [] or len(found) > _MOST_INPUTS:
        raise Unanswerable(f"'{name}' must hold 1 to {_MOST_INPUTS} entries.", name)
    return found


def _choice(index: int, said: _Said, what: dict[str, Any], surety: dict[str, Any] | None) -> dict[str, Any]:
    return {"index": index, **what, "logprobs": surety, "finish_reason": said.finish_reason}


def _vector(seed: bytes, dimensions: int) -> tuple[float, ...]:
    """A unit vector of 32-bit floats, in a direction that the seed decides."""
    blocks = (hashlib.sha256(seed + block.to_bytes(2)).digest() for block in range(-(-dimensions // 16)))
    raw = struct.unpack(f"<{dimensions}h", b"".join(blocks)[: 2 * dimensions])
    halves = [number + 0.5 for number in raw]  # none is zero
    length = math.hypot(*halves)
    return struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(half / length for half in halves)))


def _number(asked: Mapping[str, Any], name: str, otherwise: int, most: int) -> int:
    value = otherwise if asked.get(name) is None else asked[name]
    if type(value) is not int or not 1 <= value <= most:
        raise Unanswerable(f"'{name}' must be a whole number from 1 to {most}.", name)
    return value


def _check_length(characters: int) -> None:
    if characters > _MOST_TEXT:
        raise Unanswerable(f"The answer would have more than {_MOST_TEXT} characters.")
