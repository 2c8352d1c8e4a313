"""From the environment, `.env` and `gateway.yaml` to one `Settings`, or to every mistake in them at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError

from gateway.config import environment, schema
from gateway.config.settings import (
    SHORTEST_SECRET,
    ConfigError,
    ModelSettings,
    OfflineSettings,
    ProviderSettings,
    Secret,
    Settings,
    TargetSettings,
    Timeouts,
)
from gateway.config.vendors import VENDORS
from gateway.config.yaml_file import read_yaml

DEFAULT_FILE = "gateway.yaml"


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
    mistakes: list[str] = []
    variables = environment.read_environment(environ, directory / ".env", mistakes)
    values = _values(variables, mistakes)
    content, referenced, path = _read_file(values["config_file"], directory, variables, mistakes)
    of_file: list[str] = []
    providers = _providers(content.get("providers", {}), variables, mistakes, of_file)
    unconfigured = not providers
    default_model = values["default_model"] or content.get("default_model", "")
    if not default_model:
        mistakes.append(
            "MODEL_NAME: is not set, and no default_model in a gateway.yaml. "
            "It names the model that answers when a request names none, e.g. offline/echo"
        )
    models = {name: _model(entry) for name, entry in content.get("models", {}).items()}
    targets = [target.provider for model in models.values() for target in model.targets]
    if unconfigured or default_model.startswith("offline/") or schema.OFFLINE in targets:
        providers.setdefault(schema.OFFLINE, ProviderSettings(schema.OFFLINE, schema.OFFLINE))
    _check_references(models, providers, of_file)
    mistakes += [f"{path.name}: {line}" for line in of_file if path]
    if mistakes:
        raise ConfigError(mistakes)

    api_keys = tuple(Secret(key) for key in values["api_keys"])
    metrics_token = Secret(values["metrics_token"]) if values["metrics_token"] else None
    return Settings(
        api_keys=api_keys,
        default_model=default_model,
        providers=providers,
        models=models,
        unconfigured=unconfigured,
        tokenizer_dir=Path(values["tokenizer_dir"]),
        metrics_token=metrics_token,
        key_file=None if environ.get("API_KEY") else (directory / ".env").resolve(),
        sources=tuple(str(file) for file in (directory / ".env", path) if file and file.exists()),
        warnings=tuple(_warnings(variables, content, unconfigured)),
        secrets=_secrets(api_keys, metrics_token, providers, referenced),
        **{name: values[name] for name in _PLAIN},
    )


_PLAIN = (
    "log_level", "log_file", "log_prompts", "max_body_bytes", "host", "port", "workers", "graceful_timeout", "hint",
)  # fmt: skip


def _read_file(
    named: str | None, directory: Path, variables: Mapping[str, str], mistakes: list[str]
) -> tuple[dict[str, Any], set[str], Path | None]:
    path = directory / (named or DEFAULT_FILE)
    if not path.is_file():
        if named:
            mistakes.append(f"GATEWAY_CONFIG: there is no file {named}")
        return {}, set(), None
    wrong: list[str] = []
    content, referenced = read_yaml(path, variables, wrong)
    if not wrong:
        try:
            content = schema.FileSchema().load(content)
        except ValidationError as error:
            wrong.extend(schema.mistake_lines(error.messages))
    if wrong:  # what follows would only report consequences
        raise ConfigError([*mistakes, *(f"{path.name}: {line}" for line in wrong)])
    return content, referenced, path


def _values(variables: Mapping[str, str], mistakes: list[str]) -> dict[str, Any]:
    """The variables' values; a wrong one is reported and takes its default, so that the file is checked too."""
    values: dict[str, Any]
    try:
        values = environment.EnvironmentSchema().load(variables)
    except ValidationError as error:
        mistakes.extend(schema.mistake_lines(error.messages))
        rest = {name: value for name, value in variables.items() if name not in error.messages}
        values = environment.EnvironmentSchema(partial=("api_keys",)).load(rest)
    return values


def _providers(
    entries: Mapping[str, Any], variables: Mapping[str, str], mistakes: list[str], of_file: list[str]
) -> dict[str, ProviderSettings]:
    """The file's providers in its order, then those that only the environment names, in the table's order."""
    found: dict[str, ProviderSettings] = {}
    for name, entry in entries.items():
        wrong: list[str] = []
        found[name] = _provider(name, {**entry, **_set_by_variables(name, variables, mistakes)}, wrong)
        of_file += [f"providers.{name}{line}" for line in wrong]
    for name, vendor in VENDORS.items():
        before = len(mistakes)
        if name not in found and (overlay := _set_by_variables(name, variables, mistakes)):
            wrong = []
            found[name] = _provider(name, {"kind": name, **overlay}, wrong)
            if len(mistakes) == before:
                mistakes += [f"{vendor.env}_BASE_URL{line}" for line in wrong]
    return found


def _set_by_variables(name: str, variables: Mapping[str, str], mistakes: list[str]) -> dict[str, str]:
    """What `<NAME>_API_KEY` and `<NAME>_BASE_URL` say of the provider `name`; they win over the file."""
    if name not in VENDORS:
        return {}
    names = {"api_key": f"{VENDORS[name].env}_API_KEY", "base_url": f"{VENDORS[name].env}_BASE_URL"}
    overlay = {field: variables[variable] for field, variable in names.items() if variable in variables}
    wrong = schema.ProviderSchema(only=list(names)).validate(overlay)
    mistakes.extend(schema.mistake_lines({names[field]: messages for field, messages in wrong.items()}))
    return overlay


def _provider(name: str, entry: dict[str, Any], wrong: list[str]) -> ProviderSettings:
    """Build one provider. `wrong` gets what is contradictory, each beginning with '.field: ' or ': '."""
    kind = entry["kind"]
    if kind == schema.OFFLINE:
        if idle := entry.keys() - {"kind", "answer"}:
            wrong.append(f": kind offline takes no {', '.join(sorted(idle))}")
        return ProviderSettings(name, kind, offline=OfflineSettings(**entry.get("answer", {})))
    vendor = VENDORS[kind]
    api_key, base_url = entry.get("api_key"), entry.get("base_url")
    if not (base_url or vendor.base_url):
        wrong.append(f": {kind} needs its base_url, since its address is the customer's own")
    elif not (api_key or base_url or vendor.keyless):
        wrong.append(f": {kind} needs an api_key")
    if "answer" in entry:
        wrong.append(".answer: is for kind offline only")
    if (bundle := entry.get("ca_bundle")) and not os.access(bundle, os.R_OK):
        wrong.append(f".ca_bundle: there is no readable file {bundle}")
    return ProviderSettings(
        name,
        kind,
        base_url=(base_url or vendor.base_url or "").rstrip("/"),
        api_key=Secret(api_key) if api_key else None,
        timeouts=Timeouts(**entry.get("timeouts", {})),
        proxy=Secret(entry["proxy"]) if "proxy" in entry else None,
        ca_bundle=bundle,
        headers={header: Secret(value) for header, value in entry.get("headers", {}).items()},
    )


def _model(entry: dict[str, Any]) -> ModelSettings:
    price: dict[str, Decimal] | None = entry.get("price")
    return ModelSettings(
        targets=tuple(TargetSettings(**target) for target in entry["targets"]),
        fallback=tuple(entry.get("fallback", ())),
        price=price,
    )


def _check_references(
    models: Mapping[str, ModelSettings], providers: Mapping[str, ProviderSettings], mistakes: list[str]
) -> None:
    for name, model in models.items():
        where = f"models.{name}"
        for index, target in enumerate(model.targets):
            if target.provider not in providers:
                mistakes.append(f"{where}.targets[{index}].provider: there is no provider {target.provider!r}")
        for index, other in enumerate(model.fallback):
            if other == name:
                mistakes.append(f"{where}.fallback[{index}]: a model cannot fall back to itself")
            elif other not in models and other.partition("/")[0] not in providers:
                mistakes.append(f"{where}.fallback[{index}]: there is no model {other!r}")


def _warnings(variables: Mapping[str, str], content: Mapping[str, Any], unconfigured: bool) -> list[str]:
    idle = [name for name in environment.NOT_IN_FORCE if name in variables]
    idle += [name for name in schema.NOT_IN_FORCE if name in content]
    idle += [
        f"providers.{name}.timeouts.{setting}"
        for name, provider in content.get("providers", {}).items()
        for setting in schema.NOT_IN_FORCE_OF_TIMEOUTS
        if setting in provider.get("timeouts", ())
    ]
    idle += [
        f"models.{name}.{setting}"
        for name, model in content.get("models", {}).items()
        for setting in schema.NOT_IN_FORCE_OF_MODEL
        if setting in model
    ]
    warnings = [f"{name} is set, but this version does not act on it yet" for name in idle]
    if unconfigured:
        warnings.append(
            "No provider is configured: the built-in offline/echo answers every model name. "
            "Set OPENAI_API_KEY or another provider's variable, or write a gateway.yaml"
        )
    return warnings


def _secrets(
    api_keys: tuple[Secret, ...],
    metrics_token: Secret | None,
    providers: Mapping[str, ProviderSettings],
    referenced: set[str],
) -> tuple[Secret, ...]:
    """Everything that must never be written: keys, passwords, and what `${…}` brought in; the longest first."""
    values = {secret.reveal() for secret in api_keys} | referenced
    if metrics_token:
        values.add(metrics_token.reveal())
    for provider in providers.values():
        values |= {secret.reveal() for secret in (provider.api_key, *provider.headers.values()) if secret}
        if provider.proxy and (password := urlsplit(provider.proxy.reveal()).password):
            values.add(password)
    long_enough = [value for value in values if len(value) >= SHORTEST_SECRET]
    return tuple(Secret(value) for value in sorted(long_enough, key=len, reverse=True))
