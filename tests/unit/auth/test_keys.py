"""A credential stands for its caller, whole, in force, and for nobody else."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from gateway.auth.keys import Keys
from gateway.config import Secret
from gateway.errors import LedgerUnavailable, Unauthorized
from gateway.model import Caller
from gateway.policy.keys import VirtualKey

STATIC = "static-key-0123456789"
ID = "0123456789ab"
NEW, OLD, OTHER = (f"gw_{ID}_{letter * 43}" for letter in "abc")
NOW = 1_795_435_200.0


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


KEY = VirtualKey(
    ID, "search", "ci", "admin", frozenset({"fast"}), 0, None, None, digest(NEW), digest(OLD), int(NOW * 1000) + 1
)


def caller(credential: str, key: VirtualKey | None = KEY, now: float = NOW) -> Caller:
    keys = Keys([Secret(STATIC)], lambda key_id: key if key_id == ID else None, lambda: now)
    return keys.authenticate([credential.encode()])


def test_a_virtual_key_stands_for_its_tenant_role_and_models() -> None:
    assert caller(NEW) == Caller("search", ID, "admin", frozenset({"fast"}))


def test_a_static_key_is_the_default_tenants_and_may_ask_for_everything() -> None:
    assert caller(STATIC) == Caller("default", f"env-{digest(STATIC).hex()[:8]}", "client", None)
    assert caller(STATIC).may_ask("anything")


def test_the_credential_before_the_last_rotation_counts_until_its_overlap_ends() -> None:
    assert caller(OLD).key_id == ID
    with pytest.raises(Unauthorized):
        caller(OLD, now=NOW + 0.001)
    assert caller(NEW, now=NOW + 0.001).key_id == ID


@pytest.mark.parametrize("credential", [OTHER, NEW[:-1], NEW + "a", NEW.upper(), digest(NEW).hex(), ID, "gw_" + ID])
def test_what_is_not_the_whole_credential_stands_for_nobody(credential: str) -> None:
    with pytest.raises(Unauthorized):
        caller(credential)


def test_an_expired_key_stands_for_nobody_with_either_credential() -> None:
    ended = replace(KEY, expires_ms=int(NOW * 1000))
    for credential in (NEW, OLD):
        with pytest.raises(Unauthorized):
            caller(credential, ended)


def test_a_revoked_key_stands_for_nobody() -> None:
    with pytest.raises(Unauthorized):
        caller(NEW, replace(KEY, revoked_ms=1))


def test_of_several_credentials_the_one_that_is_known_counts() -> None:
    keys = Keys([Secret(STATIC)], lambda key_id: KEY, lambda: NOW)
    assert keys.authenticate([b"sk-other", NEW.encode()]).key_id == ID
    assert keys.authenticate([OTHER.encode(), STATIC.encode()]).tenant == "default"


def test_where_keys_cannot_be_looked_up_static_ones_still_count_and_nobody_guesses_at_the_others() -> None:
    def find(key_id: str) -> VirtualKey | None:
        raise LedgerUnavailable

    keys = Keys([Secret(STATIC)], find)
    assert keys.authenticate([NEW.encode(), STATIC.encode()]).tenant == "default"
    with pytest.raises(LedgerUnavailable):
        keys.authenticate([NEW.encode()])
