"""From the environment, `.env` and `gateway.yaml` to one `Settings`, or to every mistake in them at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from marshmallow import ValidationError

from gateway.config import building, environment, schema
from gateway.config.secrets import Redactor, Secret
from gateway.config.settings import (
    KEEP_DAYS,
    SLOW_CLIENTS,
    BreakerSettings,
    ConfigError,
    Mistakes,
    OverloadSettings,
    ProviderSettings,
    RetrySettings,
    Settings,
)
from gateway.config.yaml_file import read_yaml

DEFAULT_FILE = "gateway.yaml"
_SHORTEST_GOOD_KEY = 16  # characters; a shorter client key is warned of

_LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}  # noqa: S104 - compared, not bound
_NO_PROVIDER = ProviderSettings("", "")

_AS_THEY_ARE = (
    "log_level", "log_file", "log_prompts", "max_body_bytes", "host", "port", "workers", "graceful_timeout",
    "drain_delay", "hint", "metrics_port",
)  # fmt: skip


def load(environ: Mapping[str, str] | None = None, directory: Path | None = None) -> Settings:
    """Read and check the whole configuration.

    Args:
        environ: the process environment; `os.environ` if not given.
        directory: where `.env` and `gateway.yaml` are looked for; the working directory if not given.

    Raises:
        ConfigError: with one line for each mistake, naming the variable or the YAML path.
    """
    environ = os.environ if environ is None else environ
    directory = directory or Path.cwd()
    dotenv = directory / ".env"
    mistakes = Mistakes()
    variables = environment.read_environment(environ, dotenv, mistakes)
    values = _values(variables, mistakes)
    path = directory / (values["config_file"] or DEFAULT_FILE)
    there = os.path.lexists(path)
    if values["config_file"] and not there:
        mistakes.add(f"GATEWAY_CONFIG: there is no file {values['config_file']}")
    of_file = mistakes.below(f"{path.name}: ")
    content, referenced = _read_file(path, variables, of_file) if there else ({}, set())
    providers = building.providers(content.get("providers", {}), variables, mistakes, of_file)
    models = building.models(content.get("models", {}))
    default_model = values["default_model"] or content.get("default_model", "")
    if not default_model:
        mistakes.add(
            "MODEL_NAME: is not set, and no default_model in a gateway.yaml. "
            "It names the model that answers when a request names none, e.g. offline/echo"
        )
    unconfigured = not providers
    asked_for = {target.provider for model in models.values() for target in model.targets}
    if unconfigured or default_model.startswith(f"{schema.OFFLINE}/") or schema.OFFLINE in asked_for:
        providers.setdefault(schema.OFFLINE, ProviderSettings(schema.OFFLINE, schema.OFFLINE))
    building.check_references(models, providers, of_file)
    if values["metrics_port"] and values["metrics_port"] == values["port"]:
        mistakes.add(f"METRICS_PORT: is {values['port']} like PORT; the metrics need a port of their own")
    for name, provider in providers.items():
        if _is_own(provider.base_url, values["host"], values["port"]):
            mistakes.add(f"the base URL of provider {name} is the gateway's own address: it would ask itself for ever")
    if mistakes.lines:
        raise _without_secrets(mistakes, referenced)

    settings = Settings(
        api_keys=tuple(Secret(key) for key in values["api_keys"]),
        default_model=default_model,
        default_model_from="MODEL_NAME" if values["default_model"] else f"{path.name}: default_model",
        providers=providers,
        models=models,
        unconfigured=unconfigured,
        tokenizer_dir=Path(values["tokenizer_dir"]),
        data_dir=directory / values["data_dir"],
        database_url=Secret(values["database_url"]) if values["database_url"] else None,
        redis_url=Secret(values["redis_url"]) if values["redis_url"] else None,
        cache_ttl=content.get("cache", {}).get("ttl", 0) if values["cache_ttl"] is None else values["cache_ttl"],
        keep_days=content.get("ledger", {}).get("keep_days", KEEP_DAYS),
        help_url=content.get("help_url"),
        retry=RetrySettings(**content.get("retry", {})),
        breaker=BreakerSettings(**content.get("breaker", {})),
        overload=OverloadSettings(**content.get("overload", {})),
        trusted_proxies=tuple(values["trusted_proxies"]),
        metrics_token=Secret(values["metrics_token"]) if values["metrics_token"] else None,
        key_file=None if environ.get("API_KEY") else dotenv.resolve(),
        sources=tuple(str(source) for source in (dotenv, path) if os.path.lexists(source)),
        **{name: values[name] for name in _AS_THEY_ARE},
    )
    return replace(
        settings,
        warnings=(*_idle(variables, content), *_doubts(settings, variables, content)),
        secrets=_secrets(settings, referenced),
    )


def _is_own(base_url: str, host: str, port: int) -> bool:
    """Whether a provider's address is the one that the gateway listens on."""
    address = urlsplit(base_url)
    own = _LOCAL if host in _LOCAL else {host}
    return address.hostname in own and (address.port or {"http": 80, "https": 443}.get(address.scheme)) == port


def _values(variables: Mapping[str, str], mistakes: Mistakes) -> dict[str, Any]:
    """The variables' values; a wrong one is reported and takes its default, so that the file is checked too."""
    values: dict[str, Any]
    try:
        values = environment.EnvironmentSchema().load(variables)
    except ValidationError as error:
        for line in schema.mistake_lines(error.messages):
            mistakes.add(line)
        rest = {name: value for name, value in variables.items() if name not in error.messages}
        values = environment.EnvironmentSchema(partial=("api_keys",)).load(rest)
    return values


def _read_file(path: Path, variables: Mapping[str, str], of_file: Mistakes) -> tuple[dict[str, Any], set[str]]:
    """The file's valid content, and the values that `${…}` brought in."""
    known = len(of_file.lines)
    content, referenced = read_yaml(path, variables, of_file)
    if len(of_file.lines) == known:
        try:
            return schema.FileSchema().load(content), referenced
        except ValidationError as error:
            for line in schema.mistake_lines(error.messages):
                of_file.add(line)
    raise _without_secrets(of_file, referenced)  # what follows would only report consequences


def _without_secrets(mistakes: Mistakes, referenced: set[str]) -> ConfigError:
    redactor = Redactor(Secret(value) for value in referenced)
    return ConfigError([redactor.text(line) for line in mistakes.lines])


def _idle(variables: Mapping[str, str], content: Mapping[str, Any]) -> list[str]:
    """Warnings of what is set and does nothing yet."""
    idle = [name for name in environment.NOT_IN_FORCE if name in variables]
    return [f"{name} is set, but this version does not act on it yet" for name in idle]


def _doubts(settings: Settings, variables: Mapping[str, str], content: Mapping[str, Any]) -> Iterator[str]:
    """Warnings of what is allowed and hardly meant."""
    if "gthread" in variables.get("GUNICORN_CMD_ARGS", ""):
        yield SLOW_CLIENTS
    default = settings.default_model
    if settings.unconfigured:
        yield (
            "No provider is configured: the built-in offline/echo answers every model name. "
            "Set OPENAI_API_KEY or another provider's variable, or write a gateway.yaml"
        )
    elif settings.providers.get(default.partition("/")[0], _NO_PROVIDER).kind == schema.OFFLINE:
        yield f"{default} of the built-in provider answers where a request names no model; MODEL_NAME sets another"
    if content.get("default_model", default) != default:
        yield f"MODEL_NAME={default} wins over the file's default_model: {content['default_model']}"
    if any(len(key.reveal()) < _SHORTEST_GOOD_KEY for key in settings.api_keys):
        yield f"API_KEY: a key of fewer than {_SHORTEST_GOOD_KEY} characters can be guessed"


def _secrets(settings: Settings, referenced: set[str]) -> tuple[Secret, ...]:
    """Everything that must never be written: keys, passwords, and what `${…}` brought in."""
    secrets = {*settings.api_keys, settings.metrics_token, *(Secret(value) for value in referenced)}
    for url in filter(None, (settings.database_url, settings.redis_url)):
        secrets |= _passwords(url.reveal())
    for provider in settings.providers.values():
        secrets |= set(provider.secrets())
    return tuple(secret for secret in secrets if secret)


def _passwords(url: str) -> set[Secret]:
    """Those in the address of a server, which PostgreSQL's may also have as an option."""
    parts = urlsplit(url)
    options = parse_qsl(parts.query)
    return {Secret(unquote(parts.password or "")), *(Secret(text) for name, text in options if "password" in name)}
