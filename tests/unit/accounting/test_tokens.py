"""Tokens are counted with tiktoken's own files or estimated, and never waited for."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import tiktoken.load

from gateway.accounting import tokens
from gateway.model import Message

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
    assert exact.count_messages([Message("system", "hello world"), Message("user", "hello world")]) == 2 * (3 + 2) + 3


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
