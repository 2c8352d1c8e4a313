"""The built-in provider: the same answer to the same prompt, as long, slow and broken as one asks."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from gateway.accounting import tokens
from gateway.config.settings import OfflineSettings, ProviderSettings
from gateway.errors import GatewayError, ModelNotFound, ProviderRefused, UpstreamError, UpstreamTimeout
from gateway.model import ChatRequest, Completion, Message
from gateway.providers.base import Call
from gateway.providers.offline import OfflineProvider

counter = tokens.load(Path(sys.prefix, "share", "llm-gateway", "tokenizers"))


def ask(model: str, prompt: str = "Hello there", seconds: float = 5, **behaviour: object) -> Completion:
    settings = ProviderSettings("offline", "offline", offline=OfflineSettings(**behaviour))  # type: ignore[arg-type]
    provider = OfflineProvider(settings, counter.count, counter.count_messages)
    request = ChatRequest(None, (Message("user", prompt),), "u")
    return provider.complete(request, model, Call("c", 1, time.monotonic() + seconds))


def test_echo_repeats_the_prompt_and_counts_real_tokens() -> None:
    answer = ask("echo", "お誕生日おめでとう")
    assert (answer.text, answer.finish_reason) == ("お誕生日おめでとう", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8 + 6, 8)


@pytest.mark.parametrize("length", [1, 2, 100, 1000, 100_000])
def test_an_answer_has_exactly_as_many_tokens_as_asked(length: int) -> None:
    answer = ask(f"echo?tokens={length}")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == length == counter.count(answer.text)
    assert answer == ask(f"echo?tokens={length}"), "the same prompt gets the same answer"
    assert answer.text != ask(f"echo?tokens={length}", "another prompt").text or length == 1


@pytest.mark.parametrize("cap", [1, 7, 50])
def test_max_tokens_shortens_the_answer(cap: int) -> None:
    settings = ProviderSettings("offline", "offline")
    provider = OfflineProvider(settings, counter.count, counter.count_messages)
    request = ChatRequest(None, (Message("user", "one two three " * 100),), "u", cap)
    answer = provider.complete(request, "echo", Call("c", 1))
    assert answer.finish_reason == "length"
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= cap


def test_latency_and_pace_take_their_time() -> None:
    started = time.monotonic()
    ask("echo?tokens=20&latency_ms=200&tokens_per_second=100")
    assert 0.4 <= time.monotonic() - started < 1.5


def test_the_configuration_sets_what_the_name_does_not() -> None:
    answer = ask("echo?latency_ms=0", tokens=5, latency_ms=60_000)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5


@pytest.mark.parametrize(
    ("how", "error"),
    [("503", UpstreamError), ("429", UpstreamError), ("401", UpstreamError), ("400", ProviderRefused), ("reset", UpstreamError)],
)  # fmt: skip
def test_it_fails_as_asked(how: str, error: type[GatewayError]) -> None:
    with pytest.raises(error):
        ask(f"echo?fail={how}")


def test_a_timeout_and_a_latency_beyond_the_deadline_end_at_the_deadline() -> None:
    for model in ("echo?fail=timeout", "echo?latency_ms=9000", "echo?tokens=100&tokens_per_second=1"):
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            ask(model, seconds=0.2)
        assert 0.15 < time.monotonic() - started < 1


def test_a_share_of_prompts_fails_and_always_the_same_ones() -> None:
    def failing() -> set[int]:
        found = set()
        for number in range(200):
            try:
                ask("echo?fail=500&fail_percent=25", f"prompt {number}")
            except UpstreamError:
                found.add(number)
        return found

    first = failing()
    assert 25 < len(first) < 75
    assert failing() == first


@pytest.mark.parametrize(
    "model",
    ["nope", "echo?tokens", "echo?tokens=0", "echo?tokens=100001", "echo?tokens=x", "echo?fail=200", "echo?a=1"],
)
def test_a_name_that_makes_no_sense_is_no_model(model: str) -> None:
    with pytest.raises(ModelNotFound):
        ask(model)
