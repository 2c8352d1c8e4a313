"""The ledger's tables. Money is whole nano-USD, instants are milliseconds since 1970, days are UTC's: `2026-11-23`."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()
BOUGHT = text("attempt > 0 AND prompt_tokens > 0")
_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself under this name only


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _tokens() -> list[Column[int]]:
    kinds = ("prompt", "cached", "cache_write", "completion", "reasoning")
    return [_number(f"{kind}_tokens") for kind in kinds]


# Numbers that change when something else does: `policy` counts the changes of tenants, keys and limits.
versions = Table("versions", metadata, Column("name", Text, primary_key=True), _number("version"))

# What each of these changes was, so that a process need not read everything again: `kind` is tenant, key, keys (of a
# tenant) or limit, and `name` that one's name or id. Old ones are pruned.
changes = Table(
    "changes",
    metadata,
    Column("version", _Id, primary_key=True, autoincrement=False),
    _text("kind"),
    _text("name"),
)

tenants = Table("tenants", metadata, Column("name", Text, primary_key=True), _number("created_ms"))

# Virtual keys; of a credential only its SHA-256 is known, in hex. The old one counts until `old_until_ms`. `models` are
# the names that it may ask for, as JSON, or null for all.
keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    _text("tenant"),
    _text("name"),
    _text("role"),
    Column("models", Text),
    _number("created_ms"),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    _text("hash"),
    Column("old_hash", Text),
    Column("old_until_ms", BigInteger),
    Index("keys_by_tenant", "tenant"),
)

# Who holds something, over all hosts: alive until then in the database's clock. On one host files say so.
leases = Table("leases", metadata, Column("owner", Text, primary_key=True), _number("until_ms"))

limits = Table(
    "limits",
    metadata,
    Column("id", _Id, primary_key=True),
    _text("subject"),
    _text("unit"),
    _text("period"),
    _text("mode"),
    _number("value"),
    UniqueConstraint("subject", "unit", "period"),
    sqlite_autoincrement=True,  # an id is never used again: holds name it
)

# What counts against a limit in one period or, where the period slides, one sixtieth of it. `instance` is the user
# where a limit is for each user.
balances = Table(
    "balances",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("limit_id", _Id, nullable=False),
    _text("instance"),
    _number("start"),
    _number("spent"),
    _number("held"),
    UniqueConstraint("limit_id", "instance", "start"),
    sqlite_autoincrement=True,
)

# Calls in flight. `facts` is what their row will say in any case, `moves` what they hold of which balance.
holds = Table(
    "holds",
    metadata,
    _text("call_id"),
    _number("attempt"),
    _text("owner"),
    _number("held_ms"),
    _number("held_nano"),
    _number("prompt_tokens"),
    _number("completion_tokens"),
    Column("bound_nano", BigInteger),
    _text("facts"),
    _text("moves"),
    Column("tenant", Text, nullable=False, server_default=text("''")),
    Column("user_id", Text, nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("call_id", "attempt"),
    Index("holds_by_user", "tenant", "user_id"),
    sqlite_with_rowid=False,
)

# One row for each upstream attempt, and one of attempt 0 for an answer that was not bought.
usage = Table(
    "usage",
    metadata,
    Column("id", _Id, primary_key=True),
    _text("call_id"),
    _number("attempt"),
    _number("held_ms"),
    _number("settled_ms"),
    _text("request_id"),
    Column("trace_id", Text),
    Column("method", Text),
    Column("path", Text),
    Column("status", Integer),
    Column("duration_ms", BigInteger),
    Column("overhead_ms", Float),
    _text("tenant"),
    _text("key_id"),
    _text("user_id"),
    Column("requested_model", Text),
    _text("names"),
    _text("model"),
    _text("provider"),
    Column("stream", Boolean, nullable=False),
    Column("cached", Boolean, nullable=False),
    *_tokens(),
    Column("cost_nano", BigInteger),
    Column("saved_nano", BigInteger),
    _text("usage_source"),
    Column("usage_suspect", Boolean, nullable=False),
    Column("prices", Text),
    Column("ttft_ms", BigInteger),
    Column("finish_reason", Text),
    Column("upstream_request_id", Text),
    Column("session_id", Text),
    Column("client", Text),
    Column("client_address", Text),
    Column("error_code", Text),
    Column("cache_write_1h_tokens", BigInteger),
    UniqueConstraint("call_id", "attempt"),
    Index("usage_by_time", "held_ms"),
    Index("usage_to_learn_from", "key_id", "provider", "model", "id", sqlite_where=BOUGHT, postgresql_where=BOUGHT),
)


def _sums() -> list[Column[int]]:
    return [_number("requests"), _number("attempts"), _number("errors"), *_tokens(), _number("cost_nano")]


# Sums of `usage` by the day of the hold, which outlive its rows.
days = Table(
    "days",
    metadata,
    _text("day"),
    _text("tenant"),
    _text("key_id"),
    _text("user_id"),
    _text("names"),
    _text("model"),
    _text("provider"),
    *_sums(),
    PrimaryKeyConstraint("day", "tenant", "key_id", "user_id", "names", "model", "provider"),
    Index("days_by_user", "tenant", "user_id", "day"),
    Index("days_by_key", "key_id", "day"),
    Index("days_by_tenant", "tenant", "day"),
    sqlite_with_rowid=False,
)

# Sums of `usage` since ever, for the metrics.
totals = Table(
    "totals",
    metadata,
    _text("tenant"),
    _text("model"),
    _text("provider"),
    *_sums(),
    PrimaryKeyConstraint("tenant", "model", "provider"),
    sqlite_with_rowid=False,
)

SUMMED = tuple(column.name for column in _sums())
