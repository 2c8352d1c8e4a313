"""The most that a request can take and cost: what is held for it until it is known.

A prompt has at most as many tokens as its JSON has bytes (byte-level BPE, and SentencePiece with byte fallback, make at
least a byte of each token), besides what the provider's template puts around it. An answer has at most as many as its
cap or, without one, as its model's context window.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from gateway.accounting.prices import Price
from gateway.accounting.tokens import TokenCounter
from gateway.accounting.unbounded import images, media, parts_of, unbounded
from gateway.errors import InvalidField
from gateway.model import ModelRequest, Rate, Target, Usage

# What templates add: system prompts of their own (gpt-oss 90 tokens, Llama 30), the frame of a message (4), and for
# tools up to 700 (Anthropic's documentation: 346 to 735).
_FRAME = 256
_FRAME_OF_MESSAGE = 8
_FRAME_OF_TOOLS = 1024
_FRAME_OF_TEXT = 5  # of each name and value where they are counted: quotes, colons, braces, the seam
_IMAGE = 50_000  # gpt-4o-mini's dearest: 2,833 and eight tiles of 5,667; every other vendor's take fewer
_LONGEST = 2**40  # tokens of all answers: no call has more, and sums of it still fit into the database's numbers
_DEAREST = 10**15  # nano-USD, a million USD: no call costs more, and sums of it still fit into the database's numbers
_WINDOW = 131_072  # tokens of an answer that nothing bounds, to be held where no hard limit bears on it
_UNSEEN = 10_000_000  # tokens, as the largest context window has, that a provider is believed where nothing bounds them
_THINKS = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d)|gemini-(?:2\.5|[3-9])|grok-(?:3-mini|[4-9]))")
_SEARCHES = re.compile(r"(?:^|[-/])(?:search|sonar|deep-research)(?:[-:]|$)|:online$")


@dataclass(frozen=True)
class Bound:
    """The most that one attempt can take.

    Attributes:
        prompt_tokens, completion_tokens: in all choices together.
        price: None where there is none.
        cap: tokens of each choice that the provider must be told; None where it may be sent as asked.
        flaw: why this is no true bound, to be raised where one is needed; None where it is one.
        credible: tokens of prompt and answers that a provider is believed, also where they are more than the bound.
        strict: a hard limit bears on the call.
        rates: how the limits stand that it is held of.
        scarce: one of them has no room for many more such calls.
    """

    prompt_tokens: int
    completion_tokens: int
    price: Price | None
    cap: int | None = None
    flaw: InvalidField | None = None
    strict: bool = False
    rates: tuple[Rate, ...] = ()
    scarce: bool = False
    credible: tuple[int, int] = (0, 0)

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @cached_property
    def nano(self) -> int | None:
        """The cost in nano-USD."""
        return min(self.price.bound(self.prompt_tokens, self.completion_tokens), _DEAREST) if self.price else None

    @property
    def usage(self) -> Usage:
        """What is written down where nothing else is known."""
        return Usage(self.prompt_tokens, self.completion_tokens, source="bound")

    def holds(self, usage: Usage) -> Usage:
        """`usage`, and no more of any kind of token than can be."""
        prompt = min(usage.prompt_tokens, max(self.prompt_tokens, self.credible[0]))
        completion = min(usage.completion_tokens, max(self.completion_tokens, self.credible[1]))
        cached = min(usage.cached_tokens, prompt)
        written = min(usage.cache_write_tokens, prompt - cached)
        reasoning, for_1h = min(usage.reasoning_tokens, completion), min(usage.written_for_1h, written)
        return Usage(prompt, completion, cached, written, reasoning, usage.source, for_1h)

    def standing(self, rates: Iterable[Rate], scarce: bool) -> Bound:
        """The same with how the limits stand that it is held of."""
        known = (self.prompt_tokens, self.completion_tokens, self.price, self.cap, self.flaw, self.strict)
        return Bound(*known, tuple(rates), scarce, self.credible)


class Bounds:
    """Bounds requests.

    Args:
        caps: `max_output_tokens` by name under `models:`.
        window: the context window of a target in tokens, or None where it is not known.
        tokens: counts exactly where bytes would be too many.
    """

    def __init__(self, caps: Mapping[str, int], window: Callable[[Target], int | None], tokens: TokenCounter) -> None:
        self._caps = caps
        self._window = window
        self._tokens = tokens

    def of(self, request: ModelRequest, target: Target, alias: str | None, price: Price | None) -> tuple[Bound, Bound]:
        """Bound a request.

        Args:
            target: who is to answer.
            alias: the name under `models:` that led to it, or None.
            price: of the target.

        Returns:
            Of the request as it was asked, and with the cap that is enforced where a hard limit bears on it.
        """
        times = max(1, request.choices)
        images, flaw = media(request)
        prompt = times * (_size(request, images) + _frame(request) + len(images) * _IMAGE)
        asked = max(request.caps.values(), default=None)
        own, window = self._caps.get(alias or ""), self._window(target)
        choices = _answers(request)
        if _SEARCHES.search(target.model):
            flaw = flaw or unbounded("model", "a model that searches the web by itself")
        unseen = _UNSEEN if flaw else 0
        capped = min((most for most in (asked, own or window) if most), default=None)
        if capped is None and choices:
            flaw = flaw or InvalidField(
                "A hard limit bears on this call, and nothing bounds its answer: set max_tokens, or have the operator "
                f"set max_output_tokens of a model of {target}.",
                param="max_tokens",
            )
        sensible = asked if asked and asked <= (window or asked) else None
        loose = sensible or own or window or _WINDOW
        uncapped = _UNCAPPED if choices and not sensible else None
        enforced = capped if choices and (asked or own) else None
        return (
            Bound(
                prompt,
                min(choices * loose, _LONGEST),
                price,
                flaw=flaw or uncapped,
                credible=(unseen, _UNSEEN if flaw or uncapped else 0),
            ),
            Bound(prompt, min(choices * (capped or loose), _LONGEST), price, cap=enforced, flaw=flaw, strict=True),
        )

    def exactly(self, bound: Bound, request: ModelRequest, target: Target) -> Bound | None:
        """A tighter `bound`, its prompt counted instead of measured; None where the model's tokenizer is not known, or
        counting would take too long."""
        if bound.flaw or images(parts_of(request)):
            return None
        if request.dialect != "openai" and not request.is_translated:
            return None  # more is sent than stands in `asked`
        texts = list(_texts(request.asked))
        counted = self._tokens.most("\n".join(texts), target.model)
        if counted is None:
            return None
        exact = max(1, request.choices) * (counted + _FRAME_OF_TEXT * len(texts) + _frame(request))
        return replace(bound, prompt_tokens=min(exact, bound.prompt_tokens))

    def count_no_less(self, bound: Bound, request: ModelRequest, target: Target, counted: Usage) -> Usage:
        """What was counted, with the bound of what cannot be: images, and thoughts that are billed and not shown."""
        prompt = bound.prompt_tokens if images(parts_of(request)) else counted.prompt_tokens
        thinks = _THINKS.search(target.model) or any(map(request.asked.get, ("thinking", "reasoning_effort")))
        answer = bound.completion_tokens if thinks else counted.completion_tokens
        if (prompt, answer) == (counted.prompt_tokens, counted.completion_tokens):
            return counted
        return replace(counted, prompt_tokens=prompt, completion_tokens=answer, source="bound")


_UNCAPPED = InvalidField("This answer has no cap of its own, or none below its model's window.", param="max_tokens")


def _texts(value: Any) -> Iterator[str]:
    """Everything in a request that a template may write out: names, texts, numbers. As JSON some would take fewer
    tokens than they do, since an escape can become part of a word."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)


def _size(request: ModelRequest, images: Iterable[str]) -> int:
    """Bytes of what the provider is sent, without the images in it."""
    sent = len(request.body) if request.body is not None else len(orjson.dumps(dict(request.asked)))
    return max(0, sent - sum(len(url) - url.find(",") - 1 for url in images))  # what is sent of an image is its data


def _frame(request: ModelRequest) -> int:
    if request.operation != "chat":
        return _FRAME
    tools = request.asked.get("tools") or request.asked.get("functions")
    return _FRAME + _FRAME_OF_MESSAGE * len(request.asked["messages"]) + (_FRAME_OF_TOOLS if tools else 0)


def _answers(request: ModelRequest) -> int:
    """How many answers are generated, whether or not all are shown."""
    if request.operation != "completions":
        return request.choices
    prompts = request.asked.get("prompt")
    several = len(prompts) if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int) else 1
    return max(request.choices, request.asked.get("best_of") or 1) * several
