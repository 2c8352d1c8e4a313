"""`gateway limits list` and `explain` tell of limits wherever they count, in the words and numbers of a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.policy.limits import Limit
from gateway.policy.subjects import Subject
from gateway.stores.counters import Demand
from gateway.stores.counters.embedded import EmbeddedCounters


@pytest.fixture(autouse=True)
def counters(ledger_file: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedCounters:
    monkeypatch.chdir(ledger_file.parent.parent)
    for name in ("API_KEY", "MODEL_NAME", "DATA_DIR", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return EmbeddedCounters(ledger_file.parent.resolve())


def run(*words: str) -> str:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    return result.output


def count(counters: EmbeddedCounters, subject: str, unit: str, period: str, amount: int, user: str = "") -> None:
    limit = Limit(0, Subject.parse(subject), unit, period, "hard", 0)
    assert counters.take([Demand(limit.counter(user), limit.seconds, None, amount)]).taken


def test_every_limit_that_bears_on_a_subject_is_explained(counters: EmbeddedCounters) -> None:
    run("tenants", "create", "search")
    key_id = run("keys", "create", "--tenant", "search").split("_")[1]
    for subject, rate, value in (
        (f"key:{key_id}", "tokens/minute", "1000"), ("tenant:search", "requests/minute", "5"),
        ("tenant:search+model:smart", "usd/day", "2.5"), ("global", "requests/day", "7"),
        ("user:*@search", "requests/hour", "3"), ("tenant:default", "requests/minute", "1"),
        ("key:another", "requests/minute", "1"),
    ):  # fmt: skip
        run("limits", "set", subject, rate, value)
    count(counters, f"key:{key_id}", "tokens", "minute", 40)
    count(counters, "tenant:search", "requests", "minute", 5)
    count(counters, "user:*@search", "requests", "hour", 3, "ann")
    assert run("limits", "explain", f"key:{key_id}").splitlines() == [
        "global requests/day, hard: 0 of 7 used; 7 left",
        f"key:{key_id} tokens/minute, hard: 40 of 1000 used; 960 left",
        "tenant:search requests/minute, hard: 5 of 5 used; no call fits until earlier ones are forgotten",
        "tenant:search+model:smart usd/day, hard: 0 of 2.5 used; 2.5 left",
        "user:*@search requests/hour, hard: 0 of 3 used; 3 left",
    ], "the last one of calls that name no user"
    of_ann = run("limits", "explain", "user:ann@search")
    assert "user:ann@search requests/hour, hard: 3 of 3 used; no call fits until earlier ones are forgotten" in of_ann
    assert f"key:{key_id}" not in of_ann
    assert "user:bob@search requests/hour, hard: 0 of 3 used; 3 left" in run("limits", "explain", "user:bob@search")
    rows = json.loads(run("limits", "explain", "tenant:search", "--format", "json"))
    assert [(row["subject"], row["unit"], row["spent"]) for row in rows] == [
        ("global", "requests", "0"),
        ("tenant:search", "requests", "5"),
        ("tenant:search+model:smart", "usd", "0"),
        ("user:*@search", "requests", "0"),
    ]


def test_limits_are_listed_wherever_they_count(counters: EmbeddedCounters) -> None:
    run("limits", "set", "tenant:default", "requests/second", "5")
    run("limits", "set", "tenant:default", "concurrency", "2", "--mode", "soft")
    run("limits", "set", "tenant:default", "usd/day", "5")
    run("limits", "set", "user:*@default", "tokens/hour", "5")
    count(counters, "tenant:default", "requests", "second", 4)
    rows = json.loads(run("limits", "list", "--format", "json"))
    assert [(row["subject"], row["unit"], row["period"], row["mode"], row["spent"]) for row in rows] == [
        ("tenant:default", "concurrency", "", "soft", "0"),
        ("tenant:default", "requests", "second", "hard", "4"),
        ("tenant:default", "usd", "day", "hard", "0"),
        ("user:*@default", "tokens", "hour", "hard", None),
    ]
    count(counters, "user:*@default", "tokens", "hour", 3, "ann")
    (row,) = json.loads(run("limits", "list", "user:ann@default", "--format", "json"))
    assert (row["user"], row["spent"]) == ("ann", "3")
    run("limits", "remove", "tenant:default", "concurrency")
    assert "concurrency" not in run("limits", "list")


def test_a_limit_of_whom_nobody_knows_is_set_and_doubted() -> None:
    assert "there is no tenant 'serach' yet: check the spelling" in run(
        "limits", "set", "tenant:serach", "usd/day", "1"
    )
    assert "there is no key '0123'" in run("limits", "set", "key:0123", "usd/day", "1")
    assert "spelling" not in run("limits", "set", "key:env-01234567", "usd/day", "1")
    assert "spelling" not in run("limits", "set", "user:*@default", "usd/day", "1")


def test_nothing_is_explained_where_nothing_bears() -> None:
    assert run("limits", "explain", "global") == "no limit bears on global\n"
