"""The schema of `gateway.yaml`, as marshmallow reads it and as JSON Schema publishes it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, ValidationError, fields, validate

from gateway.config.settings import LONGEST_TTL
from gateway.config.vendors import VENDORS
from gateway.wording import plain

PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MODEL_NAME = re.compile(r"[!-~]{1,256}")
OFFLINE = "offline"
DEAREST = 1_000_000  # USD per million tokens: a price typed per token or per call would be far beyond
PRICE_DECIMALS = 12

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?", re.IGNORECASE)
_REFERENCE = r"^\$\{.+\}$"
_NAMED = {"providers", "models", "headers"}  # mappings whose names are the operator's own


class WholeNumber(fields.Integer):
    """An integer; a string of digits will do, since `${VAR}` brings strings; 1.5 will not."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, float):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


def _is_host(host: str) -> bool:
    try:
        return bool(_HOST.fullmatch(host) or ipaddress.ip_address(host))
    except ValueError:
        return False


def _url(value: str) -> None:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and _is_host(parts.hostname or "") and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or not value.isprintable() or " " in value:
        raise ValidationError("must be an address such as https://host/v1")
    if parts.query or parts.fragment:
        raise ValidationError("must not hold '?' or '#'")


def _help_url(value: str) -> None:
    if not re.fullmatch(r"https?://[!-~]{1,2000}", value):
        raise ValidationError("must be an address such as https://host/path")


def _base_url(value: str) -> None:
    _url(value)
    if "@" in urlsplit(value).netloc:
        raise ValidationError("must not hold a password; give the key as api_key")


def _header_name(value: str) -> None:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise ValidationError("is not a header name")
    if value.lower() in {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}:
        raise ValidationError("is the gateway's to set")


def _header_value(value: str) -> None:
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise ValidationError("may only hold visible ASCII characters")


def _name(pattern: re.Pattern[str], meaning: str) -> validate.Validator:
    return validate.Regexp(re.compile(pattern.pattern + r"\Z"), error=meaning)


def _price(value: Decimal) -> None:
    if not 0 <= value <= DEAREST:
        raise ValidationError(f"must be 0 to {DEAREST} USD per million tokens")
    if value != round(value, PRICE_DECIMALS):
        raise ValidationError(f"must have at most {PRICE_DECIMALS} decimals")


class _Section(Schema):
    """A part of the file; unknown names are refused and the known ones listed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error_messages = {**self.error_messages, "unknown": f"unknown; known here: {', '.join(self.fields)}"}


_seconds = validate.Range(min=0, min_inclusive=False, max=86_400)
_count = validate.Range(min=1)


class TimeoutsSchema(_Section):
    connect = fields.Float(validate=_seconds)
    first_byte = fields.Float(validate=_seconds, metadata={"description": "streams only"})
    idle = fields.Float(validate=_seconds, metadata={"description": "streams only"})
    total = fields.Float(validate=_seconds)
    drain = fields.Float(
        validate=validate.Range(min=0, max=86_400),
        metadata={"description": "how long an answer whose client has left is read on; 0, the default, closes it"},
    )


class AnswerSchema(_Section):
    """How `kind: offline` answers."""

    tokens = WholeNumber(validate=validate.Range(min=1, max=100_000))
    latency_ms = WholeNumber(validate=validate.Range(min=0, max=3_600_000))
    tokens_per_second = fields.Float(validate=validate.Range(min=0, min_inclusive=False))
    fail = fields.String(
        validate=validate.Regexp(
            r"\A([45]\d\d|reset|timeout|cut)\Z", error="must be a 4xx or 5xx status, reset, timeout or cut"
        )
    )
    fail_percent = WholeNumber(validate=validate.Range(min=0, max=100))


class ProviderSchema(_Section):
    kind = fields.String(required=True, validate=validate.OneOf([*VENDORS, OFFLINE]))
    base_url = fields.String(validate=_base_url)
    api_key = fields.String(
        validate=[validate.Length(min=1), _header_value],
        metadata={"description": "several, comma separated, are a pool that calls are spread over"},
    )
    max_in_flight = WholeNumber(validate=_count, metadata={"description": "calls at once of one worker"})
    timeouts = fields.Nested(TimeoutsSchema)
    proxy = fields.String(validate=_url)
    ca_bundle = fields.String()
    transport = fields.String(
        validate=validate.OneOf(["direct", "requests"]),
        metadata={"description": "requests: its own adapter, slower, as it is always through a proxy"},
    )
    headers = fields.Dict(keys=fields.String(validate=_header_name), values=fields.String(validate=_header_value))
    answer = fields.Nested(AnswerSchema, metadata={"description": "kind: offline only"})


class TargetSchema(_Section):
    provider = fields.String(required=True)
    model = fields.String(required=True, validate=_name(MODEL_NAME, "must be 1 to 256 visible ASCII characters"))
    weight = WholeNumber(validate=_count)
    priority = WholeNumber(validate=_count)


class PriceSchema(_Section):
    """USD per million tokens. What is not given costs as `input`, or as `output` for reasoning."""

    input = fields.Decimal(required=True, validate=_price)
    output = fields.Decimal(required=True, validate=_price)
    cached_input = fields.Decimal(validate=_price)
    cache_write = fields.Decimal(validate=_price)
    cache_write_1h = fields.Decimal(validate=_price)
    reasoning = fields.Decimal(validate=_price)


class ModelSchema(_Section):
    targets = fields.List(fields.Nested(TargetSchema), required=True, validate=validate.Length(min=1))
    fallback = fields.List(fields.String())
    price = fields.Nested(PriceSchema)
    max_output_tokens = WholeNumber(validate=_count)
    affinity = fields.String(
        validate=validate.OneOf(["none", "session"]),
        metadata={"description": "not given, conversations that clients name keep their target"},
    )
    retry_after_silence = fields.Boolean(
        metadata={"description": "try again after a provider that was silent to its deadline and may bill the call"}
    )
    on_unsupported = fields.String(
        validate=validate.OneOf(["drop", "refuse"]),
        metadata={"description": "what becomes of hints that a provider's API has nothing like; not given, drop"},
    )
    strict = fields.Boolean()


class CacheSchema(_Section):
    ttl = WholeNumber(validate=validate.Range(min=0, max=LONGEST_TTL), metadata={"description": "seconds; 0 is off"})


class LedgerSchema(_Section):
    keep_days = WholeNumber(
        validate=validate.Range(min=1, max=36_500), metadata={"description": "of its rows; the sums of each day stay"}
    )


class RetrySchema(_Section):
    attempts = WholeNumber(
        validate=validate.Range(min=1, max=3), metadata={"description": "at one target; 5 of a request in all"}
    )
    budget_percent = WholeNumber(
        validate=validate.Range(min=0, max=100), metadata={"description": "of requests, which may be tried again"}
    )


class BreakerSchema(_Section):
    failures = WholeNumber(validate=_count, metadata={"description": "in a row"})
    open_seconds = fields.Float(
        validate=validate.Range(min=0, min_inclusive=False, max=30),
        metadata={"description": "doubles to 30 while probes fail"},
    )


class OverloadSchema(_Section):
    """What one worker takes on."""

    max_in_flight = WholeNumber(validate=_count, metadata={"description": "requests to models at once"})
    max_queue = WholeNumber(
        validate=validate.Range(min=0),
        metadata={"description": "requests that wait; a tenth of max_in_flight if not set"},
    )
    queue_seconds = fields.Float(
        validate=validate.Range(min=0, max=600), metadata={"description": "how long they wait"}
    )
    limit_wait_seconds = fields.Float(
        validate=validate.Range(min=0, max=600),
        metadata={"description": "how long a request waits for a limit that has no room, instead of 429"},
    )


class FileSchema(_Section):
    default_model = fields.String(validate=_name(MODEL_NAME, "must be 1 to 256 visible ASCII characters"))
    providers = fields.Dict(
        keys=fields.String(validate=_name(PROVIDER_NAME, "a provider's name holds letters, digits, '_', '.' and '-'")),
        values=fields.Nested(ProviderSchema),
    )
    models = fields.Dict(
        keys=fields.String(validate=_name(MODEL_NAME, "a model's name holds 1 to 256 visible ASCII characters")),
        values=fields.Nested(ModelSchema),
    )
    cache = fields.Nested(CacheSchema)
    ledger = fields.Nested(LedgerSchema)
    help_url = fields.String(
        validate=_help_url, metadata={"description": "where users are sent whose limit is spent; part of the error"}
    )
    retry = fields.Nested(RetrySchema)
    breaker = fields.Nested(BreakerSchema)
    overload = fields.Nested(OverloadSchema)


def mistake_lines(errors: Any, path: str = "", named: bool = False) -> Iterator[str]:
    """Flatten marshmallow's nested errors into lines of `path: what is wrong`."""
    if isinstance(errors, dict):
        for name, below in errors.items():
            if isinstance(name, int):
                yield from mistake_lines(below, f"{path}[{name}]")
                continue
            inner = f"{path}.{name}" if path else str(name)
            if named:  # marshmallow wraps the errors of a mapping's entry in "key" and "value"
                for wrapped in below.values() if isinstance(below, dict) else [below]:
                    yield from mistake_lines(wrapped, inner)
            else:
                yield from mistake_lines(below, path if name == "_schema" else inner, named=name in _NAMED)
    else:
        for message in errors if isinstance(errors, list) else [errors]:
            yield f"{path or 'top level'}: {plain(str(message))}"


def json_schema() -> dict[str, Any]:
    """The file as JSON Schema (2020-12), for editors: generated from the marshmallow schemas above."""
    spec = APISpec("gateway.yaml", "1", "3.1.0", plugins=[MarshmallowPlugin()])
    spec.components.schema("File", schema=FileSchema)
    definitions = spec.to_dict()["components"]["schemas"]
    for definition in definitions.values():
        definition["additionalProperties"] = False
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway.yaml of the AI gateway",
        "$ref": "#/$defs/File",
        "$defs": definitions,
    }
    published: dict[str, Any] = _with_definitions(schema)
    return published


def _with_definitions(node: Any) -> Any:
    """The schema with references of JSON Schema instead of OpenAPI, and `${VAR}` allowed where a number stands."""
    if isinstance(node, dict):
        if node.get("type") in ("integer", "number", "boolean"):
            return {"anyOf": [node, {"type": "string", "pattern": _REFERENCE}]}
        return {
            key: value.replace("#/components/schemas/", "#/$defs/") if key == "$ref" else _with_definitions(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_with_definitions(value) for value in node]
    return node
