"""Vendors that speak OpenAI's chat API, one data row each.

A provider in the configuration names its row as `kind`; a row is also what turns `<NAME>_API_KEY` and
`<NAME>_BASE_URL` into a provider without any file. Adding a vendor is adding a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Vendor:
    """What a vendor's API differs in.

    Attributes:
        base_url: where `/chat/completions` is appended; None where the address is the customer's own.
        env: prefix of its variables, `<env>_API_KEY` and `<env>_BASE_URL`.
        prices: its id in the price catalogue; None for servers that bill nobody.
        keyless: works without a credential.
        output_cap: field that caps the answer's length; None picks by the model's name (OpenAI's reasoning
            models refuse `max_tokens`).
        reasoning_beside: its `completion_tokens` leave out the reasoning tokens, which it bills too; they show in
            `total_tokens` (xAI's documentation, Gemini's recorded replies).
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


VENDORS: dict[str, Vendor] = {
    "openai": Vendor("https://api.openai.com/v1", "OPENAI", "openai", output_cap=None),
    "anthropic": Vendor("https://api.anthropic.com/v1", "ANTHROPIC", "anthropic"),
    "gemini": Vendor(
        "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI", "google", reasoning_beside=True
    ),
    "azure": Vendor(None, "AZURE_OPENAI", "azure", output_cap="max_completion_tokens"),
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
