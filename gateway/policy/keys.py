"""Tenants and their virtual keys: `gw_<id>_<secret>`, of which only the id and a SHA-256 of the whole are known."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.policy.book import changed
from gateway.stores.ledger import Refusal, Transaction

DEFAULT_TENANT = "default"  # always there
ROLES = ("client", "admin")

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CREDENTIAL = re.compile(rb"gw_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class Refused(Refusal):
    """This cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who pays. `keys` counts those that are in force."""

    name: str
    created_ms: int
    keys: int = 0


@dataclass(frozen=True, slots=True)
class VirtualKey:
    """One key, in the order of its table's columns.

    Attributes:
        models: the names that it may ask for; None for all.
        old_hash: of the credential that the present one has replaced, which counts until `old_until_ms`.
    """

    id: str
    tenant: str
    name: str
    role: str
    models: frozenset[str] | None
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    hash: bytes
    old_hash: bytes | None
    old_until_ms: int | None

    def state(self, now_ms: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now_ms else "active"


def key_of(row: Sequence[Any]) -> VirtualKey:
    """The key of a row of its table."""
    key_id, tenant, name, role, models, created, expires, revoked, digest, old, until = row
    names = None if models is None else frozenset(orjson.loads(models))
    hashes = bytes.fromhex(digest), old and bytes.fromhex(old)
    return VirtualKey(key_id, tenant, name, role, names, created, expires, revoked, *hashes, until)


def named_by(credential: bytes) -> str | None:
    """The id of the key that a credential is of, if it looks like one."""
    found = _CREDENTIAL.fullmatch(credential)
    return found[1].decode() if found else None


def create_tenant(tx: Transaction, name: str, now_ms: int) -> None:
    """Raises Refused."""
    if not _TENANT.fullmatch(name):
        raise Refused(f"{name!r} is no name for a tenant: use 1 to 64 letters, digits, '.', '_' and '-'")
    if name == DEFAULT_TENANT or tx.run("tenant", whose=name):
        raise Refused(f"there is a tenant {name} already")
    tx.run("add_tenant", name=name, created_ms=now_ms)
    changed(tx, "tenant", name)


def delete_tenant(tx: Transaction, name: str, now_ms: int) -> int:
    """Revoke its keys and forget its name; what it has used stays. How many keys that were. Raises Refused."""
    if name == DEFAULT_TENANT:
        raise Refused(f"the tenant {DEFAULT_TENANT} is always there; revoke its keys instead")
    if not tx.run("drop_tenant", whose=name):
        raise Refused(_no_tenant(name))
    changed(tx, "tenant", name)
    changed(tx, "keys", name)
    return len(tx.run("revoke_keys_of", whose=name, now=now_ms))


def tenants(tx: Transaction, now_ms: int) -> list[Tenant]:
    """All of them, the first made first."""
    counts = dict(tx.run("count_keys", now=now_ms))
    return [Tenant(name, created, counts.get(name, 0)) for name, created in [(DEFAULT_TENANT, 0), *tx.run("tenants")]]


def exists(tx: Transaction, tenant: str) -> bool:
    """Whether there is such a tenant."""
    return tenant == DEFAULT_TENANT or bool(tx.run("tenant", whose=tenant))


def create_key(
    tx: Transaction,
    tenant: str,
    now_ms: int,
    name: str = "",
    role: str = ROLES[0],
    expires_ms: int | None = None,
    models: Sequence[str] | None = None,
) -> str:
    """Make a key.

    Args:
        models: the names that it may ask for; None for all.

    Returns:
        The credential, which nobody will be able to tell again.

    Raises:
        Refused: there is no such tenant.
    """
    if not exists(tx, tenant):
        raise Refused(_no_tenant(tenant))
    key_id = secrets.token_hex(6)
    credential, digest = _credential(key_id)
    tx.run(
        "add_key",
        id=key_id,
        tenant=tenant,
        name=name,
        role=role,
        models=None if models is None else orjson.dumps(sorted(set(models))).decode(),
        created_ms=now_ms,
        expires_ms=expires_ms,
        revoked_ms=None,
        hash=digest,
        old_hash=None,
        old_until_ms=None,
    )
    changed(tx, "key", key_id)
    return credential


def rotate_key(tx: Transaction, key_id: str, until_ms: int, now_ms: int) -> str:
    """Give a key another credential; the one that it had counts until `until_ms`, and any before it no more.

    Its id stays, and with it its limits and what it has used.

    Returns:
        The new credential.

    Raises:
        Refused: there is no such key in force.
    """
    key = _key(tx, key_id)
    if (state := key.state(now_ms)) != "active":
        raise Refused(f"the key {key_id} is {state}")
    credential, digest = _credential(key_id)
    tx.run("new_secret", whose=key_id, until=until_ms, new_hash=digest)
    changed(tx, "key", key_id)
    return credential


def revoke_key(tx: Transaction, key_id: str, now_ms: int) -> bool:
    """End a key for good; False where it was before. Raises Refused where there is no such key."""
    _key(tx, key_id)
    revoked = tx.run("revoke_key", whose=key_id, now=now_ms)
    if revoked:
        changed(tx, "key", key_id)
    return bool(revoked)


def keys(tx: Transaction) -> list[VirtualKey]:
    """All of them, the first made first."""
    return [key_of(row) for row in tx.run("keys")]


def tenant_of(tx: Transaction, key_id: str) -> str:
    """Whose a key is; one of `API_KEY` is not known here, and of the tenant that all of those have. Raises Refused."""
    return DEFAULT_TENANT if key_id.startswith("env-") else _key(tx, key_id).tenant


def _key(tx: Transaction, key_id: str) -> VirtualKey:
    rows = tx.run("key", whose=key_id)
    if not rows:
        raise Refused(f"there is no key {key_id!a}; 'gateway keys list' shows all")
    return key_of(rows[0])


def _no_tenant(name: str) -> str:
    return f"there is no tenant {name!a}; 'gateway tenants create' makes one"


def _credential(key_id: str) -> tuple[str, str]:
    """A new credential of 256 random bits, and its hash."""
    credential = f"gw_{key_id}_{secrets.token_urlsafe(32)}"
    return credential, hashlib.sha256(credential.encode()).hexdigest()
