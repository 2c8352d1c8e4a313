"""The operator's commands on tenants and keys: standard output has what programs want, standard error the rest."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.policy.keys import keys
from gateway.stores.ledger.sqlite import SqliteDatabase


@pytest.fixture(autouse=True)
def place(ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in the working directory, with DATA_DIR and nothing else to say so."""
    monkeypatch.chdir(ledger_file.parent.parent)
    for name in ("API_KEY", "MODEL_NAME", "DATA_DIR", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return ledger_file.parent


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def listed(kind: str = "keys") -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(run(kind, "list", "--format", "json").stdout)
    return rows


def test_a_new_key_stands_alone_on_standard_output_and_is_never_shown_again() -> None:
    run("tenants", "create", "search")
    words = ("--name", "ci", "--role", "admin", "--expires", "90d", "--models", "smart,fast")
    made = run("keys", "create", "--tenant", "search", *words)
    assert made.exit_code == 0
    assert re.fullmatch(r"gw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}\n", made.stdout)
    (row,) = listed()
    assert {name: row[name] for name in ("tenant", "name", "role", "models", "state")} == {
        "tenant": "search", "name": "ci", "role": "admin", "models": "fast,smart", "state": "active",
    }  # fmt: skip
    assert row["id"] == made.stdout.split("_")[1]
    lasts = time.mktime(time.strptime(str(row["expires"]), "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(
        time.strptime(str(row["created"]), "%Y-%m-%dT%H:%M:%SZ")
    )
    assert abs(lasts - 90 * 86_400) <= 1
    secret = made.stdout.strip().split("_", 2)[2]
    for form in ("table", "json", "csv"):
        assert secret not in run("keys", "list", "--format", form).output


def test_a_rotated_key_keeps_its_id_and_prints_a_new_credential_alone(place: Path) -> None:
    first = run("keys", "create", "--tenant", "default").stdout.strip()
    key_id = first.split("_")[1]
    rotated = run("keys", "rotate", key_id, "--overlap", "30m")
    assert rotated.stdout.strip() != first
    assert rotated.stdout.startswith(f"gw_{key_id}_")
    (key,) = SqliteDatabase(place).read(keys)
    assert key.old_until_ms is not None
    assert abs(key.old_until_ms / 1000 - time.time() - 1800) < 60


def test_a_revoked_key_is_listed_as_such_and_revoking_it_again_is_no_failure() -> None:
    key_id = run("keys", "create", "--tenant", "default").stdout.split("_")[1]
    assert [run("keys", "revoke", key_id).exit_code for _ in range(2)] == [0, 0]
    assert [row["state"] for row in listed()] == ["revoked"]


def test_a_deleted_tenant_is_listed_no_more_and_its_keys_are_revoked() -> None:
    run("tenants", "create", "search")
    run("keys", "create", "--tenant", "search")
    assert [(row["tenant"], row["keys"]) for row in listed("tenants")] == [("default", 0), ("search", 1)]
    deleted = run("tenants", "delete", "search")
    assert (deleted.exit_code, deleted.stderr) == (0, "deleted the tenant search and revoked 1 of its keys\n")
    assert [row["tenant"] for row in listed("tenants")] == ["default"]
    assert [row["state"] for row in listed()] == ["revoked"]


def test_keys_are_listed_of_one_tenant_where_one_asks_for_it() -> None:
    run("tenants", "create", "search")
    for tenant in ("search", "default"):
        run("keys", "create", "--tenant", tenant)
    rows = json.loads(run("keys", "list", "--tenant", "search", "--format", "json").stdout)
    assert [row["tenant"] for row in rows] == ["search"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("keys", "create", "--tenant", "nope"), 1),
        (("keys", "revoke", "0123456789ab"), 1),
        (("keys", "rotate", "0123456789ab"), 1),
        (("tenants", "create", "default"), 1),
        (("tenants", "create", "a b"), 1),
        (("tenants", "delete", "nope"), 1),
        (("keys", "create"), 2),
        (("keys", "create", "--tenant", "default", "--role", "root"), 2),
        (("keys", "create", "--tenant", "default", "--expires", "soon"), 2),
        (("keys", "create", "--tenant", "default", "--expires", "99999999w"), 2),
        (("keys", "create", "--tenant", "default", "--models", "fast,,smart"), 2),
        (("keys", "rotate", "0123456789ab", "--overlap", "-1h"), 2),
    ],
)
def test_what_cannot_be_done_says_so_on_standard_error_and_nothing_on_standard_output(
    words: tuple[str, ...], code: int
) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout) == (code, "")
    assert "Error: " in result.stderr
    if code == 1:
        assert result.stderr.count("\n") == 1
