"""A model's name resolves in the contract's order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.accounting.prices import catalogue
from gateway.config import ConfigError, Settings
from gateway.errors import ModelNotFound
from gateway.routing.router import Router

MakeSettings = Callable[..., Settings]

FILE = """
providers:
  local: {kind: openai, base_url: http://127.0.0.1:1/v1}
  groq: {kind: groq, api_key: k}
  openai: {kind: openai, api_key: k}
models:
  fast:
    targets: [{provider: openai, model: gpt-4o-mini, weight: 3}, {provider: local, model: tiny}]
    fallback: [smart, local/last]
  smart:
    targets: [{provider: openai, model: a, priority: 2}, {provider: local, model: b, priority: 1}]
  openai/gpt-4o: {targets: [{provider: local, model: instead}]}
"""


def targets(router: Router, name: str | None) -> list[str]:
    return [str(candidate.target) for candidate in router.candidates(name)]


@pytest.fixture
def router(make_settings: MakeSettings) -> Router:
    return Router(make_settings(FILE, MODEL_NAME="smart"), catalogue())


def test_a_name_under_models_comes_first_even_if_it_looks_like_a_providers(router: Router) -> None:
    assert targets(router, "openai/gpt-4o") == ["local/instead"]


def test_text_before_the_first_slash_names_a_provider_and_the_rest_its_model(router: Router) -> None:
    assert targets(router, "local/meta/llama-3:8b") == ["local/meta/llama-3:8b"]


def test_a_bare_name_belongs_to_the_first_provider_whose_catalogue_lists_it(router: Router) -> None:
    assert targets(router, "llama-3.1-8b-instant") == ["groq/llama-3.1-8b-instant"]
    assert targets(router, "gpt-4o-mini-2024-07-18") == ["local/gpt-4o-mini-2024-07-18"], "in the file's order"


def test_no_name_is_the_default_model(router: Router) -> None:
    assert targets(router, None) == targets(router, "smart")


def test_a_better_priority_is_tried_first_and_fallbacks_last(router: Router) -> None:
    assert targets(router, "smart") == ["local/b", "openai/a"]
    assert targets(router, "fast")[2:] == ["local/b", "openai/a", "local/last"]
    tiers = [candidate.tier for candidate in router.candidates("fast")]
    assert tiers == sorted(tiers), "those of a lower tier come first"
    assert len(set(tiers)) == 4, "its own are one, of its first fallback each priority, and its last fallback"


@pytest.mark.parametrize(
    "name", ["nope", "nope/x", "local/", "/x", "../", "a\nb", "local/a\nb", "x" * 10_000, "local/" + "x" * 300, " ", "GPT-4O mini", "local/中文", "local/a b"]
)  # fmt: skip
def test_any_other_name_is_no_model(name: str, router: Router) -> None:
    with pytest.raises(ModelNotFound) as caught:
        router.candidates(name)
    assert len(caught.value.message) < 400


def test_without_any_provider_every_bare_name_is_answered_offline(make_settings: MakeSettings) -> None:
    router = Router(make_settings(MODEL_NAME="gpt-4o"), catalogue())
    assert targets(router, None) == targets(router, "whatever") == ["offline/echo"]
    assert targets(router, "offline/echo?tokens=5") == ["offline/echo?tokens=5"]
    with pytest.raises(ModelNotFound):
        router.candidates("openai/gpt-4o")


def test_the_built_in_provider_is_there_only_where_it_is_asked_for(make_settings: MakeSettings) -> None:
    router = Router(make_settings(FILE, MODEL_NAME="smart"), catalogue())
    with pytest.raises(ModelNotFound):
        router.candidates("offline/echo")
    assert targets(Router(make_settings(FILE, MODEL_NAME="offline/echo"), catalogue()), None) == ["offline/echo"]


def test_a_default_model_that_does_not_exist_is_a_mistake_of_the_configuration(make_settings: MakeSettings) -> None:
    with pytest.raises(ConfigError, match="MODEL_NAME: there is no model 'nope'"):
        Router(make_settings(FILE, MODEL_NAME="nope"), catalogue()).check()
