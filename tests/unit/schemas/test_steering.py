"""No client says whom the gateway calls and as whom; what vendors add to the dialect is none of that."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from openai import OpenAI
from openai.resources.chat import Completions

from gateway.errors import InvalidField
from gateway.schemas.openai import ChatSchema, read_chat, read_completions, read_embeddings
from gateway.schemas.steering import STEERING, refuse_steering

LEAST: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    "name",
    [
        *sorted(STEERING),
        "litellm_params", "aws_region_name", "aws_bedrock_runtime_endpoint", "azure_endpoint", "azure_ad_token",
        "vertex_credentials", "langfuse_host", "mock_response", "input_cost_per_token", "arize_api_key",
        "langsmith_base_url", "user_api_key_dict",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("read", "least"),
    [(read_chat, LEAST), (read_completions, {"prompt": "hi"}), (read_embeddings, {"input": "hi"})],
)
def test_a_field_that_would_steer_a_gateway_is_refused(name: str, read: Any, least: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as caught:
        read({**least, name: None}, b"{}")
    assert (caught.value.param, caught.value.code) == (name, "unknown_parameter")
    assert name in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "provider", "models", "route", "transforms", "plugins", "usage", "reasoning", "preset",  # OpenRouter
        "top_k", "min_p", "repetition_penalty", "guided_json", "structured_outputs", "chat_template_kwargs",  # vLLM
        "ignore_eos", "min_tokens", "add_generation_prompt", "mm_processor_kwargs", "cache_salt", "priority",
        "thinking", "enable_thinking", "thinking_budget", "search_parameters", "safe_prompt", "random_seed",
        "prompt_mode", "data_sources", "keep_alive", "options", "think", "extra", "input_type", "truncate",
        "search_domain_filter", "return_images", "citation_options", "documents", "include_reasoning",
    ],
)  # fmt: skip
def test_what_vendors_add_passes_by_name_as_part_of_what_is_asked(name: str) -> None:
    request = read_chat({**LEAST, name: {"a": 1}}, b"{}")
    assert request.unknown == (name,)
    assert request.asked[name] == {"a": 1}


def sdk_options() -> set[str]:
    """What the SDK takes beside the fields of a request: for its client, or for one call."""
    taken = {*inspect.signature(OpenAI).parameters, *inspect.signature(Completions.create).parameters}
    return {name for name in taken - set(ChatSchema().fields) - {"self", "provider"} if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(sdk_options()))  # `provider` is OpenRouter's, too
def test_an_option_of_the_sdk_is_refused(name: str) -> None:
    with pytest.raises(InvalidField):
        refuse_steering([name])


def test_no_documented_field_steers() -> None:
    refuse_steering(ChatSchema().fields)


def test_a_long_name_is_cut_in_the_error() -> None:
    with pytest.raises(InvalidField) as caught:
        refuse_steering(["aws_" + "x" * 1_000_000])
    assert len(caught.value.message) < 200
    assert len(caught.value.param or "") == 64
