"""Tenants and keys are made, changed and ended; what is stored tells nobody's credential."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway.policy import keys
from gateway.policy.keys import Refused, VirtualKey, named_by
from gateway.stores.ledger import Operation
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.ledgers import done, ledger_in, rows

NOW = 1_795_435_200_000  # milliseconds


@pytest.fixture
def database(tmp_path: Path) -> SqliteDatabase:
    database = ledger_in(tmp_path)
    done(database, lambda tx: keys.create_tenant(tx, "search", NOW))
    return database


def the_key(database: SqliteDatabase) -> VirtualKey:
    (key,) = database.read(keys.keys)
    return key


def digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()


def test_a_key_is_known_by_its_id_and_the_hash_of_the_whole(database: SqliteDatabase, tmp_path: Path) -> None:
    credential = done(
        database, lambda tx: keys.create_key(tx, "search", NOW, "ci", "admin", NOW + 5, ["smart", "fast"])
    )
    key = the_key(database)
    assert named_by(credential.encode()) == key.id
    assert (key.tenant, key.name, key.role, key.expires_ms) == ("search", "ci", "admin", NOW + 5)
    assert key.models == {"fast", "smart"}
    assert key.hash == digest(credential)
    stored = str(rows(tmp_path, "SELECT * FROM keys"))
    assert credential.rpartition("_")[2] not in stored
    assert credential.split("_", 2)[2] not in stored


def test_no_two_credentials_are_alike(database: SqliteDatabase) -> None:
    made = {done(database, lambda tx: keys.create_key(tx, "default", NOW)) for _ in range(50)}
    assert len({credential.split("_")[1] for credential in made}) == 50
    assert all(len(credential.split("_", 2)[2]) == 43 for credential in made), "256 bits in base64"


def test_a_rotated_key_keeps_its_id_and_for_a_while_its_last_credential(database: SqliteDatabase) -> None:
    first = done(database, lambda tx: keys.create_key(tx, "search", NOW))
    key = the_key(database)
    second = done(database, lambda tx: keys.rotate_key(tx, key.id, NOW + 60, NOW))
    rotated = the_key(database)
    assert rotated.id == key.id
    assert (rotated.hash, rotated.old_hash, rotated.old_until_ms) == (digest(second), digest(first), NOW + 60)
    third = done(database, lambda tx: keys.rotate_key(tx, key.id, NOW + 90, NOW))
    assert (the_key(database).hash, the_key(database).old_hash) == (digest(third), digest(second))


def test_a_key_is_revoked_once_and_for_good(database: SqliteDatabase) -> None:
    done(database, lambda tx: keys.create_key(tx, "search", NOW))
    key_id = the_key(database).id
    assert done(database, lambda tx: keys.revoke_key(tx, key_id, NOW)) is True
    assert done(database, lambda tx: keys.revoke_key(tx, key_id, NOW + 1)) is False
    assert (the_key(database).state(NOW), the_key(database).revoked_ms) == ("revoked", NOW)
    with pytest.raises(Refused, match="is revoked"):
        done(database, lambda tx: keys.rotate_key(tx, key_id, NOW, NOW))


def test_a_key_expires_at_its_moment_and_is_not_rotated_after(database: SqliteDatabase) -> None:
    done(database, lambda tx: keys.create_key(tx, "search", NOW, expires_ms=NOW + 10))
    key = the_key(database)
    assert [key.state(NOW + after) for after in (9, 10)] == ["active", "expired"]
    with pytest.raises(Refused, match="is expired"):
        done(database, lambda tx: keys.rotate_key(tx, key.id, NOW + 99, NOW + 10))


def test_deleting_a_tenant_revokes_its_keys_and_no_others(database: SqliteDatabase) -> None:
    for tenant in ("search", "search", "default"):
        done(database, lambda tx, tenant=tenant: keys.create_key(tx, tenant, NOW))
    assert [(tenant.name, tenant.keys) for tenant in database.read(lambda tx: keys.tenants(tx, NOW))] == [
        ("default", 1),
        ("search", 2),
    ]
    assert done(database, lambda tx: keys.delete_tenant(tx, "search", NOW)) == 2
    assert [key.tenant for key in database.read(keys.keys) if key.state(NOW) == "active"] == ["default"]
    done(database, lambda tx: keys.create_tenant(tx, "search", NOW))
    assert [tenant.keys for tenant in database.read(lambda tx: keys.tenants(tx, NOW))] == [1, 0], "they stay revoked"


REFUSED: dict[str, Operation] = {
    "there is no tenant 'nope'": lambda tx: keys.create_key(tx, "nope", NOW),
    "there is no tenant 'gone'": lambda tx: keys.delete_tenant(tx, "gone", NOW),
    "there is no key '0123'": lambda tx: keys.revoke_key(tx, "0123", NOW),
    "there is no key ": lambda tx: keys.rotate_key(tx, "\x1b", NOW, NOW),
    "already": lambda tx: keys.create_tenant(tx, "search", NOW),
    "a tenant default already": lambda tx: keys.create_tenant(tx, "default", NOW),
    "is always there": lambda tx: keys.delete_tenant(tx, "default", NOW),
    "is no name": lambda tx: keys.create_tenant(tx, "a@b", NOW),
    "is no name for": lambda tx: keys.create_tenant(tx, "a+tenant:b", NOW),
    "is no name for a": lambda tx: keys.create_tenant(tx, "", NOW),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    reason: str, database: SqliteDatabase, tmp_path: Path
) -> None:
    before = rows(tmp_path, "SELECT * FROM versions, tenants")
    with pytest.raises(Refused, match=reason):
        done(database, REFUSED[reason])
    assert rows(tmp_path, "SELECT * FROM versions, tenants") == before


@pytest.mark.parametrize(
    "text", [b"", b"gw_", b"gw_0123456789ab_short", b"gw_0123456789AB_" + b"x" * 43, b"sk_0123456789ab_" + b"x" * 43,
             b"gw_0123456789ab_" + b"x" * 42 + b"\xe9", b"gw_0123456789ab_" + b"x" * 43 + b"\n"]
)  # fmt: skip
def test_what_does_not_look_like_a_key_names_none(text: bytes) -> None:
    assert named_by(text) is None
