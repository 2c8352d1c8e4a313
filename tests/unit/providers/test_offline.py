"""The built-in provider: the same answer to the same prompt, as long, slow and broken as one asks."""

from __future__ import annotations

import socket
import time

import orjson
import pytest

from gateway.errors import ClientLeft, GatewayError, ModelNotFound, ProviderRefused, UpstreamError, UpstreamTimeout
from gateway.model import Completion
from tests.unit.providers.offline_calls import FRAME, call, complete, count, provider, saying


def ask(model: str, prompt: str = "Hello there", seconds: float = 5, **behaviour: object) -> Completion:
    return provider(**behaviour).complete(saying(prompt), model, call(seconds))


def test_echo_repeats_the_prompt_and_counts_real_tokens() -> None:
    answer = ask("echo", "お誕生日おめでとう")
    assert (answer.text, answer.finish_reasons) == ("お誕生日おめでとう", ("stop",))
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8 + FRAME, 8)


@pytest.mark.parametrize("length", [1, 2, 100, 1000, 100_000])
def test_an_answer_has_exactly_as_many_tokens_as_asked(length: int) -> None:
    answer = ask(f"echo?tokens={length}")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == length == count(answer.text)
    assert answer.text == ask(f"echo?tokens={length}").text, "the same prompt gets the same answer"
    assert answer.text != ask(f"echo?tokens={length}", "another prompt").text or length == 1


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("cap", [1, 7, 50])
def test_max_tokens_shortens_the_answer(name: str, cap: int) -> None:
    answer = complete(saying("one two three " * 100, **{name: cap}))
    assert answer.finish_reasons == ("length",)
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
    [
        ("503", UpstreamError),
        ("429", UpstreamError),
        ("401", UpstreamError),
        ("400", ProviderRefused),
        ("reset", UpstreamError),
        ("cut", UpstreamError),
    ],
)
def test_it_fails_as_asked(how: str, error: type[GatewayError]) -> None:
    with pytest.raises(error):
        ask(f"echo?fail={how}")


def test_an_answer_that_is_cut_keeps_nobody_waiting_for_its_pace() -> None:
    started = time.monotonic()
    with pytest.raises(UpstreamError):
        ask("echo?fail=cut&tokens=100&tokens_per_second=1")
    assert time.monotonic() - started < 1


def test_a_timeout_and_a_latency_beyond_the_deadline_end_at_the_deadline() -> None:
    for model in ("echo?fail=timeout", "echo?latency_ms=9000", "echo?tokens=100&tokens_per_second=1"):
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            ask(model, seconds=0.2)
        assert 0.15 < time.monotonic() - started < 1


def test_the_providers_own_timeout_holds_too() -> None:
    with pytest.raises(UpstreamTimeout):
        provider(total=0.1).complete(saying("Hello"), "echo?latency_ms=9000", call())


@pytest.mark.parametrize("model", ["echo?latency_ms=9000", "echo?tokens=100&tokens_per_second=10", "echo?fail=timeout"])
def test_nobody_is_answered_who_has_left(model: str) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    started = time.monotonic()
    with ours, pytest.raises(ClientLeft):
        provider().complete(saying("Hello"), model, call(client=ours))
    assert time.monotonic() - started < 1


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
    with pytest.raises(ModelNotFound):
        provider().check(["echo", model])


def test_a_refusal_has_the_shape_of_openais() -> None:
    with pytest.raises(ProviderRefused) as caught:
        ask("echo?fail=422")
    assert caught.value.status == 422
    assert orjson.loads(caught.value.body)["error"].keys() == {"message", "type", "param", "code"}
