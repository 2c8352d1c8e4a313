"""Configuration: the only reader of the environment, of `.env` and of `gateway.yaml`."""

from gateway.config.loading import load
from gateway.config.secrets import Secret
from gateway.config.settings import ConfigError, Settings

__all__ = ["ConfigError", "Secret", "Settings", "load"]
