"""From validated entries of the file and of the environment to settings, and what is contradictory in them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from gateway.config import schema
from gateway.config.secrets import Secret
from gateway.config.settings import (
    Mistakes,
    ModelSettings,
    OfflineSettings,
    ProviderSettings,
    TargetSettings,
    Timeouts,
)
from gateway.config.vendors import VENDORS


def providers(
    entries: Mapping[str, Any], variables: Mapping[str, str], mistakes: Mistakes, of_file: Mistakes
) -> dict[str, ProviderSettings]:
    """The file's providers in its order, then those that only the environment names, in the vendors' order.

    Args:
        entries: `providers:` of the file.
        variables: the environment; `<NAME>_API_KEY` and `<NAME>_BASE_URL` win over the file.
        mistakes: gets what is wrong with variables.
        of_file: gets what is wrong with the file.
    """
    found: dict[str, ProviderSettings] = {}
    for name, entry in entries.items():
        overlay = _set_by_variables(name, variables, mistakes)
        found[name] = _provider(name, {**entry, **overlay}, of_file.below(f"providers.{name}"))
    for name, vendor in VENDORS.items():
        if name in found or not (overlay := _set_by_variables(name, variables, mistakes)):
            continue
        found[name] = _provider(name, {"kind": name, **overlay}, mistakes.below(f"{vendor.env}_BASE_URL"))
    return found


def _set_by_variables(name: str, variables: Mapping[str, str], mistakes: Mistakes) -> dict[str, str]:
    if name not in VENDORS:
        return {}
    names = {"api_key": f"{VENDORS[name].env}_API_KEY", "base_url": f"{VENDORS[name].env}_BASE_URL"}
    overlay = {field: variables[variable] for field, variable in names.items() if variable in variables}
    try:
        schema.ProviderSchema(only=list(names)).load(overlay)
    except ValidationError as error:
        for line in schema.mistake_lines({names[field]: messages for field, messages in error.messages_dict.items()}):
            mistakes.add(line)
        return {}
    return overlay


def _provider(name: str, entry: dict[str, Any], mistakes: Mistakes) -> ProviderSettings:
    kind = entry["kind"]
    if kind == schema.OFFLINE:
        if idle := entry.keys() - {"kind", "answer"}:
            mistakes.add(f": kind offline takes no {', '.join(sorted(idle))}")
        return ProviderSettings(name, kind, offline=OfflineSettings(**entry.get("answer", {})))
    vendor = VENDORS[kind]
    base_url = entry.get("base_url")
    keys = [key.strip() for key in entry.get("api_key", "").split(",")] if "api_key" in entry else []
    if not all(keys) or len(set(keys)) != len(keys):
        mistakes.add(".api_key: holds an empty key, or the same one twice")
    if not (base_url or vendor.base_url):
        mistakes.add(f": {kind} needs its base_url, since its address is the customer's own")
    elif not (keys or base_url or vendor.keyless):
        mistakes.add(f": {kind} needs an api_key")
    if "answer" in entry:
        mistakes.add(".answer: is for kind offline only")
    if bundle := entry.get("ca_bundle"):
        try:
            ssl.create_default_context(cafile=bundle)
        except (OSError, ValueError):
            mistakes.add(f".ca_bundle: there is no readable file of PEM certificates at {bundle!r}")
    return ProviderSettings(
        name,
        kind,
        base_url=(base_url or vendor.base_url or "").rstrip("/"),
        api_keys=tuple(Secret(key) for key in keys),
        timeouts=Timeouts(**entry.get("timeouts", {})),
        proxy=Secret(entry["proxy"]) if "proxy" in entry else None,
        ca_bundle=bundle,
        headers={header: Secret(value) for header, value in entry.get("headers", {}).items()},
        max_in_flight=entry.get("max_in_flight"),
        transport=entry.get("transport", "direct"),
    )


def models(entries: Mapping[str, Any]) -> dict[str, ModelSettings]:
    """The names of `models:`."""
    return {
        name: ModelSettings(
            **{
                **entry,
                "targets": tuple(TargetSettings(**target) for target in entry["targets"]),
                "fallback": tuple(entry.get("fallback", ())),
            }
        )
        for name, entry in entries.items()
    }


def check_references(
    models: Mapping[str, ModelSettings], providers: Mapping[str, ProviderSettings], mistakes: Mistakes
) -> None:
    """Report targets whose provider, and fallbacks whose model, does not exist."""
    for name, model in models.items():
        of_model = mistakes.below(f"models.{name}")
        for index, target in enumerate(model.targets):
            if target.provider not in providers:
                of_model.add(f".targets[{index}].provider: there is no provider {target.provider!r}")
        for index, other in enumerate(model.fallback):
            if other == name:
                of_model.add(f".fallback[{index}]: a model cannot fall back to itself")
            elif other not in models and not ("/" in other and other.partition("/")[0] in providers):
                of_model.add(f".fallback[{index}]: there is no model {other!r}")
