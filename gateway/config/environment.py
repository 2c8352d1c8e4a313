"""The variables of the environment and of `.env`, and what each may hold."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from dotenv.parser import parse_stream
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from gateway.config.schema import mistake_lines
from gateway.config.settings import LONGEST_TTL, Mistakes, Network

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

# Variables that are documented for later versions: set today, they would silently do nothing.
NOT_IN_FORCE = ("ADMIN_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT")


_ENCODED = "in a password, @ / ? # and % are written percent-encoded, as %40"


class Keys(fields.Field[list[str]]):
    """Comma-separated client keys of visible ASCII."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[str]:
        keys = [key.strip() for key in str(value).split(",")]
        if not all(keys):
            raise ValidationError("holds an empty key; separate keys by single commas")
        if not all(key.isascii() and key.isprintable() and " " not in key for key in keys):
            raise ValidationError("a key may only hold visible ASCII characters")
        if len(set(keys)) != len(keys):
            raise ValidationError("holds the same key twice")
        return keys


class Networks(fields.Field[list[Network]]):
    """Comma-separated addresses and networks."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Network]:
        networks = []
        for text in str(value).split(","):
            try:
                networks.append(ipaddress.ip_network(text.strip()))
            except ValueError as error:
                raise ValidationError(f"must be addresses and networks, separated by commas: {error}") from None
        return networks


def _redis_url(value: str) -> None:
    try:
        parts = _address(value)
        valid = (parts.scheme in ("redis", "rediss") and parts.hostname) or (parts.scheme == "unix" and parts.path)
        int(parts.port or 0)
        for database in dict(parse_qsl(parts.query)).get("db"), parts.scheme != "unix" and parts.path.strip("/"):
            int(database or 0)
    except ValueError:
        valid = False
    if not valid:
        raise ValidationError(f"must be an address such as redis://host:6379/0, rediss://… or unix:///path; {_ENCODED}")


def _database_url(value: str) -> None:
    try:
        parts = _address(value)
        valid = parts.scheme in ("postgresql", "postgres") and (parts.netloc or parts.query)
        int(("," not in parts.netloc and parts.port) or 0)  # several servers have a port each
    except ValueError:
        valid = False
    if not valid:
        raise ValidationError(f"must be an address such as postgresql://user:password@host:5432/database; {_ENCODED}")


def _address(value: str) -> SplitResult:
    """The parts of an address. Raises ValueError, also where a part of a password would be taken for another."""
    parts = urlsplit(value)
    if parts.netloc.count("@") > 1 or "@" in parts.path or "#" in value:
        raise ValueError
    parse_qsl(parts.query, strict_parsing=bool(parts.query))
    return parts


def _writable(name: str) -> None:
    try:
        with Path(name).open("ab"):
            return
    except OSError as error:
        raise ValidationError(f"cannot be written: {error.strerror}") from None


class EnvironmentSchema(Schema):
    """One field a variable; `data_key` is the variable's name."""

    class Meta:
        unknown = EXCLUDE

    api_keys = Keys(
        required=True,
        data_key="API_KEY",
        error_messages={"required": "is not set. It holds the key(s) that clients must show, comma separated"},
    )
    default_model = fields.String(data_key="MODEL_NAME", load_default=None)
    config_file = fields.String(data_key="GATEWAY_CONFIG", load_default=None)
    tokenizer_dir = fields.String(
        data_key="TIKTOKEN_CACHE_DIR", load_default=str(Path(sys.prefix, "share", "llm-gateway", "tokenizers"))
    )
    log_level = fields.String(data_key="LOG_LEVEL", load_default="INFO", validate=validate.OneOf(LOG_LEVELS))
    log_file = fields.String(data_key="LOG_FILE", load_default=None, validate=_writable)
    log_prompts = fields.Boolean(data_key="LOG_PROMPTS", load_default=False)
    data_dir = fields.String(data_key="DATA_DIR", load_default="data")
    database_url = fields.String(data_key="DATABASE_URL", load_default=None, validate=_database_url)
    redis_url = fields.String(data_key="REDIS_URL", load_default=None, validate=_redis_url)
    cache_ttl = fields.Integer(data_key="CACHE_TTL", load_default=None, validate=validate.Range(min=0, max=LONGEST_TTL))
    metrics_token = fields.String(data_key="METRICS_TOKEN", load_default=None)
    metrics_port = fields.Integer(data_key="METRICS_PORT", load_default=None, validate=validate.Range(min=1, max=65535))
    trusted_proxies = Networks(data_key="TRUSTED_PROXIES", load_default=())
    max_body_bytes = fields.Integer(
        data_key="MAX_BODY_BYTES", load_default=33_554_432, validate=validate.Range(min=1024)
    )
    host = fields.String(
        data_key="HOST",
        load_default="127.0.0.1",
        validate=validate.Regexp(r"\A[A-Za-z0-9.:-]+\Z", error="must be an address or a name, without a port"),
    )
    port = fields.Integer(data_key="PORT", load_default=8000, validate=validate.Range(min=0, max=65535))
    workers = fields.Integer(data_key="WEB_CONCURRENCY", load_default=2, validate=validate.Range(min=1, max=1024))
    graceful_timeout = fields.Integer(
        data_key="GRACEFUL_TIMEOUT", load_default=600, validate=validate.Range(min=1, max=86400)
    )
    drain_delay = fields.Integer(
        data_key="DRAIN_DELAY",
        load_default=lambda: 0 if sys.stderr.isatty() else 5,
        validate=validate.Range(min=0, max=3600),
    )
    hint = fields.Boolean(data_key="GATEWAY_HINT", load_default=False)


def read_environment(environ: Mapping[str, str], dotenv: Path, mistakes: Mistakes) -> dict[str, str]:
    """Merge the process environment over `.env`. A variable set to nothing counts as not set.

    Args:
        environ: the process environment.
        dotenv: the `.env` file; it need not exist.
        mistakes: gets a line for each line of the file that cannot be read.
    """
    merged: dict[str, str] = {}
    try:
        with dotenv.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                if binding.error or (binding.key and binding.value is None):
                    mistakes.add(f"{dotenv.name}: line {binding.original.line}: not of the form NAME=value")
                elif binding.key and binding.value:
                    merged[binding.key] = binding.value
    except FileNotFoundError:
        pass  # a .env is optional
    except (OSError, UnicodeDecodeError) as error:
        mistakes.add(f"{dotenv.name}: cannot be read: {error}")
    merged.update({name: value for name, value in environ.items() if value})
    for name in [field.data_key for field in EnvironmentSchema().fields.values()]:
        if name and not merged.get(name, "").isprintable():
            mistakes.add(f"{name}: may only hold printable characters")
            del merged[name]
    return merged


def check_addresses(variables: Mapping[str, str], mistakes: Mistakes) -> None:
    """Check the variables that name stores, for those who need no others."""
    try:
        EnvironmentSchema(only=("database_url", "redis_url")).load(variables)
    except ValidationError as error:
        for line in mistake_lines(error.messages):
            mistakes.add(line)
