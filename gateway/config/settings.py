"""The gateway's settings: frozen, complete and valid. Whoever holds a `Settings` need not check it again."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gateway.config.secrets import Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SLOW_CLIENTS = "gthread: each slow client holds one of its threads; put a proxy that buffers requests in front of it"
KEEP_DAYS = 400  # of the ledger's rows: a year, and a month to look back on it
LONGEST_TTL = 31_536_000  # seconds: a year
SHORTEST_CREDENTIAL = 16  # characters of a header's value; a shorter one is a label


class ConfigError(Exception):
    """The configuration cannot be used.

    Attributes:
        mistakes: one line each, with the variable or the YAML path at fault.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Mistakes:
    """Collects what is wrong, one line each.

    Args:
        where: what every line begins with: a file, and the path in it.
        lines: shared by all collectors of one load.
    """

    def __init__(self, where: str = "", lines: list[str] | None = None) -> None:
        self._where = where
        self.lines: list[str] = [] if lines is None else lines

    def below(self, where: str) -> Mistakes:
        """A collector whose lines begin with `where` after this one's."""
        return Mistakes(self._where + where, self.lines)

    def add(self, what: str) -> None:
        self.lines.append(f"{self._where}{what}")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of an upstream call in seconds. First byte and idle bear on streams only; drain is how long an answer
    whose client has left is read on, for providers that bill it to its end anyway."""

    connect: float = 2
    first_byte: float = 120
    idle: float = 120
    total: float = 600
    drain: float = 0


@dataclass(frozen=True, slots=True)
class OfflineSettings:
    """How the built-in provider behaves where the model's name does not say.

    Attributes:
        tokens: length of the answer; None repeats the prompt.
        latency_ms: wait before the answer begins.
        tokens_per_second: pace of the answer; None is at once.
        fail: a status to fail with, or "reset", "timeout" or "cut". With "cut" a stream breaks off after half of its
            events, and a whole answer does not come at all.
        fail_percent: share of prompts that fail, chosen by the prompt's hash.
    """

    tokens: int | None = None
    latency_ms: int = 0
    tokens_per_second: float | None = None
    fail: str | None = None
    fail_percent: int = 100


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One provider.

    Attributes:
        base_url: without a trailing slash; empty for `offline`.
        api_keys: one, none, or several that calls are spread over.
        max_in_flight: calls at once of one worker; None for as many as it has.
        transport: "direct", or "requests" for its own adapter; through a proxy it is always that.
    """

    name: str
    kind: str
    base_url: str = ""
    api_keys: tuple[Secret, ...] = ()
    timeouts: Timeouts = Timeouts()
    proxy: Secret | None = None
    ca_bundle: str | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)
    offline: OfflineSettings = OfflineSettings()
    max_in_flight: int | None = None
    transport: str = "direct"

    def secrets(self) -> list[Secret]:
        """What must not be told: the keys, the proxy's credentials, and headers long enough to be a credential."""
        found = [value for value in self.headers.values() if len(value.reveal()) >= SHORTEST_CREDENTIAL]
        found += self.api_keys
        if self.proxy:
            credentials = unquote(urlsplit(self.proxy.reveal()).netloc.rpartition("@")[0])
            found += [Secret(credentials), Secret(credentials.partition(":")[2])]
        return found


@dataclass(frozen=True, slots=True)
class TargetSettings:
    provider: str
    model: str
    weight: int = 1
    priority: int = 1


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A name that clients ask for.

    Attributes:
        fallback: models tried after its own targets.
        price: USD per million tokens by kind of token, or None for the catalogue's.
        strict: fields of a request that its dialect does not document are refused.
        on_unsupported: "drop": hints that a provider's API has nothing like are left out; "refuse": the request is
            refused that has any.
        max_output_tokens: the longest answer where a hard limit bears on a call.
        affinity: "session": a conversation keeps its target, and is known by how its prompt begins where the client
            does not name it; "none": no conversation does; None: those do that the client names.
        retry_after_silence: another attempt follows one that was silent to its deadline, and may have been billed.
    """

    targets: tuple[TargetSettings, ...]
    fallback: tuple[str, ...] = ()
    price: Mapping[str, Decimal] | None = None
    strict: bool = False
    on_unsupported: str = "drop"
    max_output_tokens: int | None = None
    affinity: str | None = None
    retry_after_silence: bool = False


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """Attempts at the same target.

    Attributes:
        attempts: at most, the first one included.
        budget_percent: of all requests; so many may be retries, over all workers.
    """

    attempts: int = 3
    budget_percent: int = 10


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """When a target is left alone.

    Attributes:
        failures: in a row, after which it is.
        open_seconds: how long, at first.
    """

    failures: int = 5
    open_seconds: float = 2


@dataclass(frozen=True, slots=True)
class OverloadSettings:
    """How much a worker takes on.

    Attributes:
        max_in_flight: requests to models at once.
        max_queue: requests that wait for one of these to end; None is a tenth of them.
        queue_seconds: how long they wait.
        limit_wait_seconds: how long a request waits for a limit that has no room, instead of 429.
    """

    max_in_flight: int = 4000
    max_queue: int | None = None
    queue_seconds: float = 5
    limit_wait_seconds: float = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment, `.env` and `gateway.yaml` said.

    Attributes:
        api_keys: the static client keys.
        default_model: the model of a request that names none.
        default_model_from: the variable, or the path in the file, that says so.
        providers: in the order in which a bare model name looks for one.
        unconfigured: no provider is configured, so that `offline/echo` answers every bare name.
        data_dir: where embedded stores keep their files; made when first needed.
        database_url: of the ledger; None for SQLite in `data_dir`.
        redis_url: None for the embedded stores.
        cache_ttl: seconds for which an answer may be reused; 0 is never.
        keep_days: days for which the ledger keeps its rows.
        help_url: where users are sent whose limit is spent, or None.
        metrics_port: a port of their own for the metrics, or None.
        trusted_proxies: where an X-Forwarded-For is believed.
        drain_delay: seconds of serving on, marked as draining, between SIGTERM and the stop.
        hint: print a curl line once the service listens.
        key_file: the `.env` that the client keys come from; None if they come from the environment.
        sources: the files that were read.
        warnings: what the operator should know, logged at start and on reload.
        secrets: every string that must never be written, for the redaction at the log's sink.
    """

    api_keys: tuple[Secret, ...]
    default_model: str
    default_model_from: str
    providers: Mapping[str, ProviderSettings]
    models: Mapping[str, ModelSettings]
    unconfigured: bool
    tokenizer_dir: Path
    log_level: str
    log_file: str | None
    log_prompts: bool
    data_dir: Path
    database_url: Secret | None
    redis_url: Secret | None
    cache_ttl: int
    keep_days: int
    help_url: str | None
    metrics_token: Secret | None
    metrics_port: int | None
    trusted_proxies: tuple[Network, ...]
    max_body_bytes: int
    host: str
    port: int
    workers: int
    graceful_timeout: int
    drain_delay: int
    hint: bool
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    overload: OverloadSettings = OverloadSettings()
    key_file: Path | None = None
    sources: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
