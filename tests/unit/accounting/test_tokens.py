"""Tokens are counted with tiktoken's own files or estimated, and never waited for."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import tiktoken.load

from gateway.accounting import tokens
from gateway.model import Completion, ModelRequest, Operation

INSTALLED = Path(sys.prefix, "share", "llm-gateway", "tokenizers")


@pytest.fixture
def exact() -> tokens.TokenCounter:
    counter = tokens.load(INSTALLED)
    assert counter.exact, "'make tokenizers' fetches the files that this test needs"
    return counter


def test_counts_are_those_of_the_models_own_tokenizer(exact: tokens.TokenCounter) -> None:
    # the figures of https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
    assert exact.count("お誕生日おめでとう", "gpt-4o-mini") == 8
    assert exact.count("お誕生日おめでとう", "gpt-4-turbo") == 9
    assert exact.count("2 + 2 = 4", "gpt-3.5-turbo") == 7


def test_text_that_looks_like_a_special_token_is_only_text(exact: tokens.TokenCounter) -> None:
    assert exact.count("<|endoftext|>") > 1


def test_messages_are_counted_with_their_framing(exact: tokens.TokenCounter) -> None:
    messages = [{"role": "system", "content": "hello world"}, {"role": "user", "content": "hello world"}]
    assert exact.count_prompt(ModelRequest("chat", None, {"messages": messages})) == 2 * (3 + 2) + 3


@pytest.mark.parametrize(
    ("operation", "asked", "count"),
    [
        ("completions", {"prompt": "hello world"}, 2),
        ("completions", {"prompt": ["hello world", "hello world"]}, 4),
        ("completions", {"prompt": None}, 0),
        ("embeddings", {"input": [1, 2, 3]}, 3),
        ("embeddings", {"input": [[1, 2, 3], [4]]}, 4),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello world"}]}]}, 2 + 6),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 6),
        ("chat", {"messages": [{"role": "assistant", "content": None}]}, 6),
        ("chat", {"messages": [{"role": "assistant", "content": None}], "prompt": 5, "input": 7}, 6),
        ("completions", {"prompt": "hello world", "messages": 5, "tools": 5, "input": 5}, 2),
    ],
)
def test_every_form_of_a_prompt_is_counted(
    operation: Operation, asked: dict[str, Any], count: int, exact: tokens.TokenCounter
) -> None:
    assert exact.count_prompt(ModelRequest(operation, None, asked)) == count


def test_tool_definitions_and_earlier_calls_are_prompt_too(exact: tokens.TokenCounter) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "hello", "arguments": "hello world"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    tools = [{"type": "function", "function": {"name": "hello"}}]
    bare = exact.count_prompt(ModelRequest("chat", None, {"messages": [message]}))
    assert bare == 3 + 3 + 1 + 2
    assert exact.count_prompt(ModelRequest("chat", None, {"messages": [message], "tools": tools})) > bare + 5


def test_what_was_not_kept_of_an_answer_is_taken_to_be_like_the_rest(exact: tokens.TokenCounter) -> None:
    assert exact.count_generated(Completion(b"", generated="hello world ", not_kept=24)) == 3 * 3
    assert exact.count_generated(Completion(b"", not_kept=24)) == 6


def test_a_long_text_is_counted_like_a_short_one(exact: tokens.TokenCounter) -> None:
    assert exact.count("hello world " * 10_000) == 20_001


def test_the_rest_of_a_very_long_text_is_taken_to_be_like_its_beginning(exact: tokens.TokenCounter) -> None:
    assert exact.count("hello world " * 500_000) == pytest.approx(1_000_000, rel=1e-4)


@pytest.mark.parametrize("space", [" ", "\t", "\u00a0", "\u3000"])
def test_a_text_of_a_million_spaces_is_counted_too(space: str, exact: tokens.TokenCounter) -> None:
    assert exact.count(f"x{space * 1_000_000}x") > 2


@pytest.mark.parametrize("damage", ["missing", "one missing", "corrupt"])
def test_without_intact_files_tokens_are_estimated_and_nothing_is_downloaded(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if damage != "missing":
        shutil.copytree(INSTALLED, tmp_path, dirs_exist_ok=True)
        first = sorted(tmp_path.glob("[0-9a-f]*"))[0]
        first.unlink() if damage == "one missing" else first.write_bytes(b"x" + first.read_bytes()[1:])

    def forbidden(*args: object) -> None:
        raise AssertionError("tiktoken would download")

    monkeypatch.setattr(tiktoken.load, "read_file", forbidden)
    counter = tokens.load(tmp_path)
    assert not counter.exact
    assert counter.count("12345678") == 2
    assert counter.count("123456789") == 3
    assert counter.count("") == 0
    assert counter.count("你好") == 2
