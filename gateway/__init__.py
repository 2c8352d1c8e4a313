"""The AI gateway: one address and one key between applications and LLM providers."""

__version__ = "0.1.0"
