"""Vendors, one data row each. Most speak OpenAI's API, two have one of their own.

A provider in the configuration names its row as `kind`; a row is also what turns `<NAME>_API_KEY` and
`<NAME>_BASE_URL` into a provider without any file. Adding a vendor is adding a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.wire.fields import ApiName


@dataclass(frozen=True, slots=True)
class Api:
    """An API as it looks from outside.

    Attributes:
        name: a column of the table in docs/translation.md.
        credential: the header that holds it.
        root: what every path begins with; addresses are taken with it and without, as the vendors' SDKs are told them.
        headers: of every call.
        models: path of the list of models.
    """

    name: ApiName
    credential: str = "authorization"
    root: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    models: str = "/models"


OPENAI_API = Api("openai")
ANTHROPIC_API = Api("anthropic", "x-api-key", "/v1", {"anthropic-version": "2023-06-01"})
GEMINI_API = Api("gemini", "x-goog-api-key", "/v1beta")


@dataclass(frozen=True, slots=True)
class Vendor:
    """What a vendor's API differs in.

    Attributes:
        base_url: where `/chat/completions` is appended, or `api.root` and the path of another API; None where the
            address is the customer's own.
        env: prefix of its variables, `<env>_API_KEY` and `<env>_BASE_URL`.
        prices: its id in the price catalogue; None for servers that bill nobody.
        keyless: works without a credential.
        output_cap: field that caps the answer's length; None picks by the model's name (OpenAI's reasoning
            models refuse `max_tokens`).
        reasoning_beside: its `completion_tokens` leave out the reasoning tokens, which it bills too; they show in
            `total_tokens` (xAI's documentation, Gemini's recorded replies).
        api: the one that is spoken.
        responses: takes OpenAI's `/responses` too. Others have it half, or not at all: theirs are made of a chat.
        usage_option: takes `stream_options.include_usage`. Mistral refuses it and reports the usage anyway, as
            Perplexity does; NVIDIA's servers have hung on it.
    """

    base_url: str | None
    env: str
    prices: str | None
    keyless: bool = False
    output_cap: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    reasoning_beside: bool = False
    usage_option: bool = True
    api: Api = OPENAI_API
    responses: bool = False


VENDORS: dict[str, Vendor] = {
    "openai": Vendor("https://api.openai.com/v1", "OPENAI", "openai", output_cap=None, responses=True),
    "anthropic": Vendor("https://api.anthropic.com", "ANTHROPIC", "anthropic", api=ANTHROPIC_API),
    "gemini": Vendor("https://generativelanguage.googleapis.com", "GEMINI", "google", api=GEMINI_API),
    "azure": Vendor(None, "AZURE_OPENAI", "azure", output_cap="max_completion_tokens", responses=True),
    "bedrock": Vendor(None, "BEDROCK", "aws"),
    "groq": Vendor("https://api.groq.com/openai/v1", "GROQ", "groq"),
    "mistral": Vendor("https://api.mistral.ai/v1", "MISTRAL", "mistral", usage_option=False),
    "together": Vendor("https://api.together.ai/v1", "TOGETHER", "together"),
    "fireworks": Vendor("https://api.fireworks.ai/inference/v1", "FIREWORKS", "fireworks"),
    "deepseek": Vendor("https://api.deepseek.com/v1", "DEEPSEEK", "deepseek"),
    "openrouter": Vendor("https://openrouter.ai/api/v1", "OPENROUTER", "openrouter"),
    "xai": Vendor("https://api.x.ai/v1", "XAI", "x-ai", reasoning_beside=True),
    "perplexity": Vendor(
        "https://api.perplexity.ai", "PERPLEXITY", "perplexity", reasoning_beside=True, usage_option=False
    ),
    "cerebras": Vendor("https://api.cerebras.ai/v1", "CEREBRAS", "cerebras"),
    "nvidia": Vendor("https://integrate.api.nvidia.com/v1", "NVIDIA", None, usage_option=False),
    "ollama": Vendor("http://127.0.0.1:11434/v1", "OLLAMA", None, keyless=True),
    "vllm": Vendor(None, "VLLM", None, keyless=True),  # its usual port, 8000, is ours
    "llamacpp": Vendor("http://127.0.0.1:8080/v1", "LLAMACPP", None, keyless=True),
    "lmstudio": Vendor("http://127.0.0.1:1234/v1", "LMSTUDIO", None, keyless=True),
}
