"""The operator's commands on the ledger."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.accounting import entries
from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Claim
from gateway.accounting.prices import FREE
from gateway.cli import main
from gateway.cli.listing import listed
from gateway.model import Usage
from gateway.policy.subjects import Payer
from gateway.stores.ledger.sqlite import SqliteDatabase
from tests.fakes.postgres_server import PostgresServer

NOW = 1_795_442_400 * 10**9  # 2026-11-23T14:00:00Z
COLUMNS = "requests,errors,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,held_usd,cost_usd"


@pytest.fixture(autouse=True)
def database(ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteDatabase]:
    """A ledger in the working directory, with DATA_DIR and nothing else to say so."""
    monkeypatch.chdir(ledger_file.parent.parent)
    for name in ("API_KEY", "MODEL_NAME", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    database = SqliteDatabase(ledger_file.parent)
    yield database
    database.close()


def run(*words: str, **variables: str) -> Result:
    return CliRunner().invoke(main, words, env=variables)


def called(database: SqliteDatabase, call_id: str, now_ns: int = NOW, settled: bool = True, **facts: str) -> None:
    """A call of one request with 20 tokens of a prompt, 5 of them cached, and 7 of an answer."""
    said = {"tenant": "search", "key_id": "k", "user_id": "ann", "names": "m", "model": "tiny", "provider": "up"}
    said |= facts
    payer = Payer(said["tenant"], said["key_id"], said["user_id"], ("m",))
    bound = Bound(100, 100, FREE)
    claim = Claim(call_id, 1, "owner", payer, {**said, "request_id": "r", "stream": False}, bound, bound)
    operations = [lambda tx: entries.hold(tx, claim, now_ns)]
    if settled:
        operations.append(lambda tx: entries.settle(tx, call_id, 1, now_ns, Usage(20, 7, 5), 1_500_000_001, {}))
    for outcome in database.transact(operations):
        assert outcome.error is None


def test_the_ledger_may_be_in_postgresql_and_nothing_else_need_be_said(postgres: str, ledger_file: Path) -> None:
    ledger_file.unlink()
    assert run("limits", "set", "global", "usd/day", "1", DATABASE_URL=postgres).exit_code == 0
    (limit,) = json.loads(run("limits", "list", "--format", "json", DATABASE_URL=postgres).stdout)
    assert (limit["subject"], limit["limit"]) == ("global", "1")
    assert run("usage", DATABASE_URL=postgres).exit_code == 0
    assert not ledger_file.exists()


def test_a_database_that_is_not_there_or_empty_is_told_in_one_line(postgres_server: PostgresServer) -> None:
    away = run("usage", DATABASE_URL="postgresql://u:s3cret-pass@127.0.0.1:1/x")
    assert (away.exit_code, away.output) == (1, "Error: PostgreSQL: Connection refused\n")
    empty = run("usage", DATABASE_URL=postgres_server.url())
    assert empty.exit_code == 1
    assert empty.output.startswith("Error: there is no ledger in PostgreSQL: run this where the service runs, or with ")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://u:S3cret@Pw0rdLong@127.0.0.1:1/db"),
        ("REDIS_URL", "redis://:S3cret/Pw0rd@127.0.0.1/0"),
        ("REDIS_URL", "redis://:S3cret#Pw0rd@127.0.0.1/0"),
        ("REDIS_URL", "redis://h/0?db=S3cret"),
        ("REDIS_URL", "redis://h/0?S3cret=Pw0rd"),
        ("REDIS_URL", "redis://h/0?socket_timeout=S3cret"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_without_it(name: str, url: str) -> None:
    run("limits", "set", "global", "requests/minute", "1")
    result = run("limits", "list", **{name: url})
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert name in result.stderr
    assert "S3cret" not in result.output
    assert "Pw0rd" not in result.output


def test_usage_is_told_by_tenant_for_thirty_days_unless_one_asks_otherwise(database: SqliteDatabase) -> None:
    called(database, "1")
    called(database, "2", tenant="ads", user_id="bob")
    called(database, "3", now_ns=NOW - 40 * 86_400 * 10**9)
    called(database, "4", settled=False)
    rows = json.loads(run("usage", "--format", "json", "--since", "2026-11-01").stdout)
    assert rows == [
        {
            "tenant": tenant,
            "requests": 1,
            "errors": 0,
            "prompt_tokens": 20,
            "cached_tokens": 5,
            "completion_tokens": 7,
            "reasoning_tokens": 0,
            "held_usd": "0",
            "cost_usd": "1.500000001",
        }
        for tenant in ("ads", "search")
    ]


@pytest.mark.parametrize(
    ("by", "value"),
    [("tenant", "search"), ("key", "k"), ("user", "ann"), ("model", "tiny"), ("provider", "up"), ("day", "2026-11-23")],
)
def test_usage_has_the_column_that_it_is_told_by_under_that_name(by: str, value: str, database: SqliteDatabase) -> None:
    called(database, "1")
    text = run("usage", "--by", by, "--since", "2026-11-23", "--format", "csv").stdout
    assert text == f"{by},{COLUMNS}\n{value},1,0,20,5,7,0,0,1.500000001\n"


def test_usage_may_be_of_one_tenant(database: SqliteDatabase) -> None:
    called(database, "1")
    called(database, "2", tenant="ads", user_id="bob")
    text = run("usage", "--by", "user", "--tenant", "ads", "--since", "2026-11-23", "--format", "csv").stdout
    assert [row["user"] for row in csv.DictReader(io.StringIO(text))] == ["bob"]


def test_a_table_has_a_heading_and_no_terminal_obeys_what_a_client_named(database: SqliteDatabase) -> None:
    called(database, "1", user_id="\x1b[31mann\nbob")
    lines = run("usage", "--by", "user", "--since", "2026-11-23").stdout.splitlines()
    assert lines[0].split() == ["user", *COLUMNS.split(",")]
    assert lines[1].startswith("\\x1b[31mann\\nbob  ")
    assert len(lines) == 2


def test_numbers_stand_to_the_right() -> None:
    rows = [{"name": "a", "cost": "1.5"}, {"name": "long", "cost": "20"}]
    assert listed(rows, ("name", "cost"), "table") == "name  cost\na      1.5\nlong    20"


def test_a_limit_is_set_listed_changed_and_removed() -> None:
    assert run("limits", "set", "tenant:search", "usd/month", "500").exit_code == 0
    assert run("limits", "set", "user:*@search+model:smart", "tokens/day", "9", "--mode", "soft").exit_code == 0
    assert run("limits", "set", "tenant:search", "usd/month", "0.5", "--mode", "firm").exit_code == 0
    (limit,) = json.loads(run("limits", "list", "tenant:search", "--format", "json").stdout)
    reset = limit.pop("reset")
    assert reset.endswith("-01T00:00:00Z")
    assert limit == {
        "subject": "tenant:search",
        "user": "",
        "unit": "usd",
        "period": "month",
        "mode": "firm",
        "limit": "0.5",
        "spent": "0",
        "held": "0",
    }
    assert len(json.loads(run("limits", "list", "--format", "json").stdout)) == 2
    assert run("limits", "remove", "tenant:search", "usd/month").exit_code == 0
    again = run("limits", "remove", "tenant:search", "usd/month")
    assert (again.exit_code, again.stderr.count("\n")) == (1, 1)
    assert "there is no limit tenant:search usd/month" in again.stderr


def test_a_limit_for_each_user_is_listed_once_and_for_every_user_if_one_asks(database: SqliteDatabase) -> None:
    called(database, "1", now_ns=time.time_ns())
    called(database, "2", now_ns=time.time_ns(), user_id="bob")
    called(database, "3", now_ns=time.time_ns(), user_id="bob")
    run("limits", "set", "user:*@search", "requests/total", "9")

    def listed_of(*subject: str) -> list[tuple[str, str]]:
        rows = json.loads(run("limits", "list", *subject, "--format", "json").stdout)
        return [(row["user"], row["spent"]) for row in rows]

    assert listed_of() == [("bob", "2")], "who has used most"
    assert listed_of("user:*@search") == [("", "0"), ("ann", "1"), ("bob", "2")]
    assert listed_of("user:ann@search") == [("ann", "1")]


def test_who_sets_a_limit_is_told_what_it_is_and_how_it_stands(database: SqliteDatabase) -> None:
    run("tenants", "create", "search")
    called(database, "1", now_ns=time.time_ns())
    said = run("limits", "set", "tenant:search", "usd/day", "9", "--mode", "firm").stderr
    assert said == "tenant:search usd/day: 9, firm; 1.500000001 spent\n"
    said = run("limits", "set", "tenant:search", "usd/day", "8").stderr
    assert said.startswith("tenant:search usd/day: 8, firm; "), "it keeps its mode"
    said = run("limits", "set", "tenant:serach", "usd/day", "9").stderr
    assert said == ("tenant:serach usd/day: 9, hard; 0 spent\nthere is no tenant 'serach' yet: check the spelling\n")


def test_a_spreadsheet_takes_no_name_for_a_formula(database: SqliteDatabase) -> None:
    called(database, "1", user_id="=1+1")
    called(database, "2", user_id="\x9bred")
    text = run("usage", "--by", "user", "--since", "2026-11-23", "--format", "csv").stdout
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == ["'=1+1", "\\x9bred"]
    assert "\\u009bred" in run("usage", "--by", "user", "--since", "2026-11-23", "--format", "json").stdout


@pytest.mark.parametrize(
    "words",
    [
        ("set", "search", "usd/day", "1"),
        ("set", "tenant: search", "usd/day", "1"),
        ("set", "tenant:a\x1b[2J", "usd/day", "1"),
        ("set", "global", "usd/year", "1"),
        ("set", "global", "concurrency/minute", "1"),
        ("set", "global", "tokens/", "1"),
        ("set", "global", "usd/day", "-1"),
        ("set", "global", "usd/day", "1e308"),
        ("set", "global", "usd/day", "0.0000000001"),
        ("set", "global", "requests/day", "1.5"),
        ("set", "global", "usd/day", "1", "--mode", "strict"),
        ("remove", "global", "usd/year"),
        ("list", "search"),
    ],
)
def test_what_is_no_limit_is_wrong_usage_and_changes_nothing(words: tuple[str, ...]) -> None:
    result = run("limits", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert run("limits", "list", "--format", "json").stdout == "[]\n"


def test_a_day_that_is_none_is_wrong_usage() -> None:
    assert run("usage", "--since", "yesterday").exit_code == 2


def test_only_setting_a_limit_makes_a_ledger_and_says_so(tmp_path: Path) -> None:
    new = tmp_path / "new"
    for words in (["usage"], ["limits", "list"], ["limits", "remove", "global", "usd/day"]):
        refused = run(*words, DATA_DIR=str(new))
        assert (refused.exit_code, refused.stderr) == (
            1,
            f"Error: there is no ledger in {new}: run this where the service runs, or with its DATA_DIR\n",
        )
    assert not new.exists()
    made = run("limits", "set", "global", "usd/day", "1", DATA_DIR=str(new))
    assert (made.exit_code, made.stderr.splitlines()[0]) == (
        0,
        f"made a new ledger in {new}: is it the service's DATA_DIR?",
    )
    assert (new / "ledger.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what another user owns")
@pytest.mark.parametrize(
    "words", ["tenants create search", "limits set global usd/day 1", "keys create --tenant default"]
)
def test_what_root_makes_belongs_to_the_owner_of_the_directory(words: str, tmp_path: Path) -> None:
    service = tmp_path / "service"
    service.mkdir()
    (service / "another").touch()
    os.chown(service, 1234, 2345)
    assert run(*words.split(), DATA_DIR=str(service)).exit_code == 0
    owners = {entry.name: (entry.stat().st_uid, entry.stat().st_gid) for entry in service.iterdir()}
    assert owners.pop("another") == (0, 0)
    assert {"ledger.sqlite", "ledger.sqlite.lock"} <= owners.keys()
    assert set(owners.values()) == {(1234, 2345)}
    (service / "ledger.sqlite.lock").unlink()
    assert run("limits", "list", DATA_DIR=str(service)).exit_code == 0
    assert (service / "ledger.sqlite.lock").stat().st_uid == 1234, "what a listing makes too"


def test_a_listing_makes_no_counters() -> None:
    run("limits", "set", "global", "requests/minute", "5")
    (row,) = json.loads(run("limits", "list", "--format", "json").stdout)
    assert row["spent"] == "0"
    assert run("limits", "explain", "tenant:search").exit_code == 0
    assert [entry.name for entry in Path("data").iterdir() if not entry.name.startswith("ledger.sqlite")] == []


def test_a_ledger_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("limits", "set", "global", "usd/day", "1", DATA_DIR=str(tmp_path / "file"))
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
