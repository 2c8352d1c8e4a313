"""The most that a request can take is never less than what it takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounting.bounds import Bound, Bounds
from gateway.accounting.prices import FREE, Price, Rate
from gateway.accounting.tokens import TokenCounter, load
from gateway.model import ModelRequest, Target, Usage
from gateway.schemas.openai import read_chat, read_completions, read_embeddings

TARGET = Target("up", "gpt-4o-mini")
COUNTER = load(Path(sys.prefix, "share", "llm-gateway", "tokenizers"))
WINDOWS = {"gpt-4o-mini": 128_000}
IMAGE = "data:image/png;base64," + "A" * 100_000

texts = st.text(max_size=300) | st.text(alphabet=" \n\t.,", max_size=300) | st.text(alphabet="aé漢😀", max_size=99)


def bounds(cap: int | None = None, counter: TokenCounter = COUNTER) -> Bounds:
    return Bounds({"m": cap} if cap else {}, lambda target: WINDOWS.get(target.model), counter)


def chat(**fields: Any) -> ModelRequest:
    document = {"messages": [{"role": "user", "content": "Hello"}], **fields}
    return read_chat(document, orjson.dumps(document))


def both(request: ModelRequest, cap: int | None = None, target: Target = TARGET) -> tuple[Bound, Bound]:
    """As asked, and with the cap that a hard limit brings."""
    return bounds(cap).of(request, target, "m", FREE)


@given(
    st.lists(st.tuples(st.sampled_from(["user", "system", "assistant"]), texts), min_size=1, max_size=5),
    st.lists(texts, max_size=2),
)
def test_bytes_and_counts_are_never_fewer_than_the_tokens(said: list[tuple[str, str]], described: list[str]) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": text}} for text in described]
    messages = [{"role": role, "content": text} for role, text in said]
    request = chat(messages=messages, max_tokens=5, **({"tools": tools} if tools else {}))
    bound = both(request)[1]
    exact = bounds().exactly(bound, request, TARGET)
    tokens = COUNTER.count_prompt(request, TARGET.model)
    assert exact is not None
    assert tokens <= exact.prompt_tokens <= bound.prompt_tokens


@pytest.mark.parametrize("text", ["\x0corall " * 500, "\tributors " * 500, '\n\n\\n"' * 500])
def test_a_text_that_is_shorter_in_json_is_counted_as_it_is_read(text: str) -> None:
    request = chat(messages=[{"role": "user", "content": text}], max_tokens=5)
    exact = bounds().exactly(both(request)[1], request, TARGET)
    assert exact is not None
    assert COUNTER.count(text, TARGET.model) <= exact.prompt_tokens


@given(texts)
def test_plain_prompts_and_inputs_are_bounded_too(text: str) -> None:
    for read, name in ((read_completions, "prompt"), (read_embeddings, "input")):
        document = {name: text or "x"}
        request = read(document, orjson.dumps(document))
        assert COUNTER.count_prompt(request, TARGET.model) <= both(request)[1].prompt_tokens


@pytest.mark.parametrize(
    ("asked", "own", "loose", "strict", "told"),
    [
        pytest.param({"max_tokens": 7}, None, 7, 7, 7, id="the client's cap is told as it is"),
        pytest.param({"max_completion_tokens": 7}, None, 7, 7, 7, id="by either name"),
        pytest.param({"max_tokens": 7}, 50, 7, 7, 7, id="and where the operator's is larger"),
        pytest.param({"max_tokens": 70}, 50, 70, 50, 50, id="a larger one is clamped to the operator's"),
        pytest.param({}, 50, 50, 50, 50, id="the operator's is told where the client has none"),
        pytest.param({}, None, 128_000, 128_000, None, id="a model keeps to its context window untold"),
        pytest.param({"max_tokens": 10**6}, None, 128_000, 128_000, 128_000, id="a cap beyond it is clamped"),
        pytest.param({"n": 3, "max_tokens": 7}, None, 21, 21, 7, id="each choice has its own"),
    ],
)
def test_the_answers_cap(asked: dict[str, Any], own: int | None, loose: int, strict: int, told: int | None) -> None:
    as_asked, enforced = both(chat(**asked), own)
    assert (as_asked.completion_tokens, as_asked.cap) == (loose, None)
    assert (enforced.completion_tokens, enforced.cap, enforced.flaw) == (strict, told, None)


def test_what_nothing_caps_is_no_bound_where_one_is_needed() -> None:
    as_asked, enforced = both(chat(), target=Target("up", "unheard-of"))
    assert as_asked.completion_tokens == 131_072, "something must be held"
    assert enforced.flaw is not None
    assert "set max_tokens" in enforced.flaw.message


def test_every_prompt_of_a_completion_is_answered_as_often_as_it_may_be() -> None:
    document = {"prompt": ["a", "b"], "n": 2, "best_of": 3, "max_tokens": 5}
    assert both(read_completions(document, orjson.dumps(document)))[1].completion_tokens == 2 * 3 * 5
    document = {"prompt": [1, 2, 3], "max_tokens": 5}
    assert both(read_completions(document, orjson.dumps(document)))[1].completion_tokens == 5


def test_embeddings_generate_nothing() -> None:
    document = {"input": ["a", "b"]}
    bound = both(read_embeddings(document, orjson.dumps(document)))[1]
    assert (bound.completion_tokens, bound.cap, bound.flaw) == (0, None, None)


def test_an_image_in_the_request_is_bounded_by_what_the_dearest_takes_and_not_by_its_bytes() -> None:
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    request = chat(messages=[{"role": "user", "content": content}], max_tokens=5)
    bound = both(request)[1]
    assert bound.flaw is None
    assert 50_000 < bound.prompt_tokens < 52_000
    assert bounds().exactly(bound, request, TARGET) is None, "nobody counts an image"


@pytest.mark.parametrize("model", ["qwen3-8b", "claude-sonnet-4-5", "my-gpt-4o"])
def test_a_prompt_is_counted_only_where_the_tokenizer_is_known(model: str) -> None:
    request = chat(max_tokens=5)
    bound = both(request)[1]
    assert bounds().exactly(bound, request, Target("up", model)) is None
    assert bounds(counter=TokenCounter({})).exactly(bound, request, TARGET) is None


def test_a_very_long_prompt_is_not_counted_for_nothing() -> None:
    request = chat(messages=[{"role": "user", "content": "x" * 1_000_001}], max_tokens=5)
    assert bounds().exactly(both(request)[1], request, TARGET) is None


counts = st.integers(0, 5000)
rates = st.builds(Rate, st.integers(0, 10**15), st.lists(st.tuples(counts, st.integers(0, 10**15))).map(tuple))


@given(st.builds(Price, rates, rates, rates, rates, rates), st.tuples(counts, counts), st.tuples(*[counts] * 5))
def test_what_is_capped_at_a_bound_costs_no_more_than_the_bound(
    price: Price, most: tuple[int, int], reported: tuple[int, int, int, int, int]
) -> None:
    prompt, completion, cached, written, reasoning = reported
    usage = Usage(prompt, completion, min(cached, prompt), min(written, prompt - min(cached, prompt)),
                  min(reasoning, completion))  # fmt: skip
    bound = Bound(*most, price)
    allowed = bound.holds(usage)
    assert allowed.prompt_tokens <= most[0]
    assert allowed.completion_tokens <= most[1]
    assert allowed.cached_tokens + allowed.cache_write_tokens <= allowed.prompt_tokens
    assert bound.nano is not None
    assert price.cost(allowed) <= bound.nano
    if prompt <= most[0] and completion <= most[1]:
        assert allowed == usage


def test_no_bound_is_dearer_than_the_database_can_count() -> None:
    dear = Price(Rate(10**24), Rate(10**24))
    assert Bound(10**9, 2**31 * 128, dear).nano == 10**15


def test_no_bound_is_longer_than_the_database_can_count() -> None:
    document = {"prompt": ["a"] * 1000, "n": 128, "max_tokens": 2**31 - 1}
    for bound in both(read_completions(document, orjson.dumps(document)), target=Target("up", "unheard-of")):
        assert bound.completion_tokens == 2**40
