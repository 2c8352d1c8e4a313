"""What the ledger tells is what was used, by whatever one asks for, and how every limit stands at that moment."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.accounting import entries, reports
from gateway.model import Usage
from gateway.policy.subjects import Misspelt
from gateway.stores.ledger import Database
from gateway.telemetry.sums import Budget, Total
from tests.fakes.ledgers import SECOND, Place, claim, done, limit, rows, spend

DAY = 86_400 * SECOND
NOW = 1_795_435_200 * SECOND  # 2026-11-23T12:00:00Z, a Monday
USED = Usage(10, 5, cached_tokens=4, cache_write_tokens=2, reasoning_tokens=3)  # 35 nano-USD


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports.time, "time_ns", lambda: NOW)


def hold(database: Database, call_id: str, now: int = NOW, **facts: Any) -> None:
    done(database, lambda tx: entries.hold(tx, claim(call_id, **facts), now))


def usage(database: Database, by: str, since: str = "2026-01-01", tenant: str = "") -> list[dict[str, Any]]:
    return database.read(lambda tx: reports.usage(tx, by, since, tenant))


def standings(database: Database) -> list[tuple[str, str, int, int, str | None]]:
    found = database.read(lambda tx: sorted(reports.standings(tx), key=reports.Standing.order))
    return [
        (each.limit.subject.named(each.user), each.limit.period, each.spent, each.held, each.reset) for each in found
    ]


def some_usage(database: Database) -> None:
    spend(database, "1", NOW, USED)
    spend(database, "2", NOW, USED, key_id="other", user_id="v", provider="groq")
    spend(database, "3", NOW - DAY, USED, tenant="s", model="tiny")
    hold(database, "4", tenant="s", user_id="flying")


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("tenant", {"s": (1, "0.00000005", "0.000000035"), "t": (2, "0", "0.00000007")}),
        ("key", {"k": (2, "0.00000005", "0.00000007"), "other": (1, "0", "0.000000035")}),
        ("user", {"flying": (0, "0.00000005", "0"), "u": (2, "0", "0.00000007"), "v": (1, "0", "0.000000035")}),
        ("model", {"gpt": (2, "0.00000005", "0.00000007"), "tiny": (1, "0", "0.000000035")}),
        ("provider", {"groq": (1, "0", "0.000000035"), "openai": (2, "0.00000005", "0.00000007")}),
        ("day", {"2026-11-22": (1, "0", "0.000000035"), "2026-11-23": (2, "0.00000005", "0.00000007")}),
    ],
)
def test_usage_is_told_by_each_of_its_groupings(by: str, expected: dict[str, Any], database: Database) -> None:
    some_usage(database)
    lines = usage(database, by)
    assert [line[by] for line in lines] == sorted(expected)
    assert {line[by]: (line["requests"], line["held_usd"], line["cost_usd"]) for line in lines} == expected
    assert all(tuple(line) == (by, *reports.COLUMNS) for line in lines)
    for column, amount in (
        ("prompt_tokens", 10),
        ("cached_tokens", 4),
        ("completion_tokens", 5),
        ("reasoning_tokens", 3),
    ):
        assert {line[by]: line[column] for line in lines} == {name: amount * one[0] for name, one in expected.items()}


def test_usage_begins_with_its_first_day_whatever_is_held_too(database: Database) -> None:
    some_usage(database)
    hold(database, "of yesterday", NOW - DAY, user_id="yesterday")
    assert [line["day"] for line in usage(database, "day", "2026-11-23")] == ["2026-11-23"]
    assert [line["user"] for line in usage(database, "user", "2026-11-23")] == ["flying", "u", "v"]
    assert usage(database, "user", "2026-11-24") == []


def test_usage_of_one_tenant_is_no_other_ones(database: Database) -> None:
    some_usage(database)
    assert [line["model"] for line in usage(database, "model", tenant="s")] == ["gpt", "tiny"]
    assert [line["key"] for line in usage(database, "key", tenant="t")] == ["k", "other"]
    assert usage(database, "key", tenant="nobody") == []


def test_a_request_counts_once_and_at_each_provider_that_was_tried_for_it(database: Database) -> None:
    for attempt, provider, error in ((1, "openai", "upstream_error"), (2, "groq", None)):
        made = claim("call", attempt, provider=provider)
        done(database, lambda tx, made=made: entries.hold(tx, made, NOW))
        ending = {"error_code": error}
        done(database, lambda tx, n=attempt, e=ending: entries.settle(tx, "call", n, NOW, Usage(1, 0), 2, e))
    (of_tenant,) = usage(database, "tenant")
    assert (of_tenant["requests"], of_tenant["errors"], of_tenant["cost_usd"]) == (1, 1, "0.000000004")
    assert {line["provider"]: (line["requests"], line["errors"]) for line in usage(database, "provider")} == {
        "groq": (1, 0),
        "openai": (1, 1),
    }


def test_what_was_kept_counts_as_a_request_and_as_nothing_else(database: Database) -> None:
    done(database, lambda tx: entries.hold(tx, claim("call", 0), NOW))
    kept = Usage(10, 5, source="cache")
    done(database, lambda tx: entries.settle(tx, "call", 0, NOW, kept, 0, {"cached": True, "saved_nano": 35}))
    (line,) = usage(database, "tenant")
    assert (line["requests"], line["prompt_tokens"], line["cost_usd"]) == (1, 0, "0")
    assert database.read(reports.summary).totals == []


def test_usage_outlives_its_rows(database: Database) -> None:
    some_usage(database)
    before = usage(database, "user")
    done(database, lambda tx: tx.run("prune_usage", before=NOW // 10**6 + 1, most=100))
    assert usage(database, "user") == before


def test_every_limit_is_told_with_what_stands_against_it_and_its_reset(database: Database) -> None:
    for rate in ("usd/minute", "usd/day", "usd/week", "usd/month", "usd/total"):
        limit(database, "tenant:t", rate, "1")
    some_usage(database)
    hold(database, "5")
    assert standings(database) == [
        ("tenant:t", "day", 70, 50, "2026-11-24T00:00:00Z"),
        ("tenant:t", "minute", 70, 50, None),
        ("tenant:t", "month", 70, 50, "2026-12-01T00:00:00Z"),
        ("tenant:t", "total", 70, 50, None),
        ("tenant:t", "week", 70, 50, "2026-11-30T00:00:00Z"),
    ]


def test_a_limit_begins_with_what_was_used_and_is_held_in_its_period_and_a_sliding_one_with_nothing(
    database: Database,
) -> None:
    some_usage(database)
    for rate in ("usd/hour", "usd/day", "usd/week", "requests/total"):
        limit(database, "global", rate, "1000")
    assert standings(database) == [
        ("global", "total", 3, 1, None),
        ("global", "day", 70, 50, "2026-11-24T00:00:00Z"),
        ("global", "hour", 0, 0, None),
        ("global", "week", 70, 50, "2026-11-30T00:00:00Z"),
    ]


def test_each_user_that_used_something_stands_for_itself(database: Database) -> None:
    some_usage(database)
    limit(database, "user:*@t", "tokens/day", "100")
    hold(database, "5", user_id="w")
    assert [each[:4] for each in standings(database)] == [
        ("user:*@t", "day", 0, 0),
        ("user:u@t", "day", 15, 0),
        ("user:v@t", "day", 15, 0),
        ("user:w@t", "day", 0, 20),
    ]


def test_a_new_period_stands_at_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(database, "tenant:t", "usd/day", "1")
    limit(database, "tenant:t", "usd/minute", "1")
    some_usage(database)
    monkeypatch.setattr(reports.time, "time_ns", lambda: NOW + DAY)
    assert [each[2:4] for each in standings(database)] == [(0, 0), (0, 0)]


def test_a_limit_that_is_changed_keeps_what_stands_against_it_and_one_removed_does_not(
    database: Database, place: Place
) -> None:
    limit(database, "tenant:t", "usd/minute", "1")
    some_usage(database)
    limit(database, "tenant:t", "usd/minute", "0.5", "soft")
    assert standings(database) == [("tenant:t", "minute", 70, 0, None)]
    assert done(database, lambda tx: reports.remove_limit(tx, "tenant:t", "usd/minute")) is True
    assert done(database, lambda tx: reports.remove_limit(tx, "tenant:t", "usd/minute")) is False
    assert standings(database) == []
    assert rows(place, "SELECT * FROM balances") == []


@pytest.mark.parametrize(
    "words", [("tenant:", "usd/day", "1"), ("tenant:t", "usd/year", "1"), ("tenant:t", "usd/day", "one")]
)
def test_a_limit_that_is_misspelt_is_not_set(words: tuple[str, str, str], database: Database) -> None:
    with pytest.raises(Misspelt):
        limit(database, *words)
    assert standings(database) == []


def test_the_metrics_get_totals_and_the_budgets_of_tenants_in_usd(database: Database) -> None:
    for subject, rate in (
        ("tenant:t", "usd/month"),
        ("tenant:t", "tokens/month"),
        ("tenant:t+model:m", "usd/month"),
        ("key:k", "usd/day"),
    ):
        limit(database, subject, rate, "100")
    spend(database, "1", NOW, USED)
    sums = database.read(reports.summary)
    assert sums.totals == [Total("t", "gpt", "openai", 35, (10, 4, 2, 5, 3))]
    assert sums.budgets == [Budget("t", "month", 100 * 10**9, 35, 0)]
