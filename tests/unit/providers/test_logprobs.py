"""What the built-in provider says of its certainty has OpenAI's shape."""

from __future__ import annotations

import pytest

from gateway.errors import ProviderRefused
from gateway.model import ModelRequest
from gateway.providers import logprobs
from tests.unit.providers.offline_calls import asking, body, complete, saying


def test_each_word_of_a_chat_is_certain() -> None:
    certain = {"token": "Hé", "logprob": 0.0, "bytes": [72, 195, 169]}
    assert body(saying("Hé you", logprobs=True))["choices"][0]["logprobs"] == {
        "content": [
            {**certain, "top_logprobs": []},
            {"token": " you", "logprob": 0.0, "bytes": list(b" you"), "top_logprobs": []},
        ],
        "refusal": None,
    }
    first = body(saying("Hé you", logprobs=True, top_logprobs=3))["choices"][0]["logprobs"]["content"][0]
    assert first["top_logprobs"] == [certain]


def test_a_completion_tells_where_each_word_stands() -> None:
    assert body(asking("completions", {"prompt": "one two", "logprobs": 1}))["choices"][0]["logprobs"] == {
        "tokens": ["one", " two"],
        "token_logprobs": [0.0, 0.0],
        "top_logprobs": [{"one": 0.0}, {" two": 0.0}],
        "text_offset": [0, 3],
    }


@pytest.mark.parametrize("asked", [{}, {"logprobs": False}, {"logprobs": None}])
def test_who_does_not_ask_gets_none(asked: dict[str, object]) -> None:
    assert body(saying("one", **asked))["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    "request_",
    [saying("one two three", logprobs=True), saying("one", n=3, logprobs=True),
     asking("completions", {"prompt": ["one", "two", "three"], "logprobs": 1})],
    ids=["long", "several", "prompts"],
)  # fmt: skip
def test_an_answer_that_is_too_long_for_them_is_refused(
    request_: ModelRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logprobs, "_MOST_CHARACTERS", 8)
    with pytest.raises(ProviderRefused) as caught:
        complete(request_)
    assert b"at most 8 characters" in (caught.value.body or b"")
