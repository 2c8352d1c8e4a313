"""Limits read what operators write and nothing else, bear on whom they name, and slide or reset when they say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounting import entries
from gateway.accounting.entries import Refused
from gateway.policy.limits import LARGEST, SLIDING, Limit, parse_rate, parse_value
from gateway.policy.subjects import Misspelt, Payer, Subject
from tests.fakes.ledgers import SECOND, claim, done, ledger_in, limit

PAYER = Payer("search", "env-0", "ann@example.org", ["smart", "openai/gpt-4o"])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("tenant:search", "tenant:search"),
        ("key:env-0", "key:env-0"),
        ("user:ann@example.org@search", "user:ann@example.org@search"),
        ("user:*@search", "user:*@search"),
        ("model:openai/gpt-4o", "model:openai/gpt-4o"),
        ("global", "global"),
        ("tenant:search+model:smart", "tenant:search+model:smart"),
        ("model:smart+tenant:search", "tenant:search+model:smart"),
        ("user:a+b@search+key:k", "key:k+user:a+b@search"),
        ("tenant:größe", "tenant:größe"),
    ],
)
def test_a_subject_has_one_way_to_be_written(written: str, read: str) -> None:
    assert Subject.parse(written).text == read
    assert Subject.parse(read) == Subject.parse(written)


@pytest.mark.parametrize(
    "written",
    [
        "", "tenant", "tenant:", "key:", "model:", "user:ann", "user:@search", "user:ann@", "Tenant:search", "global:x",
        "everyone:x", "tenant:a+tenant:b", "global+tenant:a", "tenant:a+global", "tenant:a+key:b+model:c", "+", " global",
    ],
)  # fmt: skip
def test_what_is_no_subject_is_misspelt(written: str) -> None:
    with pytest.raises(Misspelt):
        Subject.parse(written)


@pytest.mark.parametrize(
    ("subject", "instance"),
    [
        ("global", ""),
        ("tenant:search", ""),
        ("tenant:Search", None),
        ("key:env-0", ""),
        ("key:env", None),
        ("model:smart", ""),
        ("model:openai/gpt-4o", ""),
        ("model:gpt-4o", None),
        ("user:ann@example.org@search", ""),
        ("user:ann@example.org@other", None),
        ("user:*@search", "ann@example.org"),
        ("user:*@other", None),
        ("user:*@search+model:smart", "ann@example.org"),
        ("user:*@search+model:fast", None),
        ("tenant:search+key:other", None),
    ],
)
def test_a_limit_bears_on_the_calls_of_its_subject_alone(subject: str, instance: str | None) -> None:
    assert Subject.parse(subject).instance(PAYER) == instance


def test_calls_without_a_user_are_those_of_one_user_and_no_other_name_is_shown() -> None:
    subject = Subject.parse("user:*@search+model:smart")
    assert subject.instance(Payer("search", "k", "", ["smart"])) == ""
    assert subject.named("") == subject.text
    assert subject.named("ann") == "user:ann@search+model:smart"


@pytest.mark.parametrize("rate", ["usd/day", "usd/second", "usd/hour", "tokens/month", "requests/total", "usd/week"])
def test_a_rate_is_a_unit_and_a_period(rate: str) -> None:
    assert "/".join(parse_rate(rate)) == rate


@pytest.mark.parametrize(
    "rate",
    [
        "",
        "usd",
        "usd/",
        "/day",
        "usd/year",
        "USD/day",
        "eur/day",
        "usd/day/",
        "concurrency/",
        "concurrency/second",
        "requests/",
        "usd /day",
    ],
)
def test_what_is_no_rate_that_is_counted_is_misspelt(rate: str) -> None:
    with pytest.raises(Misspelt):
        parse_rate(rate)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("0", "usd", 0),
        ("0", "tokens", 0),
        ("500", "usd", 500 * 10**9),
        ("12.50", "usd", 12_500_000_000),
        ("0.000000001", "usd", 1),
        ("007", "requests", 7),
        (str(LARGEST), "tokens", LARGEST),
        ("4611686018.427387904", "usd", LARGEST),
        ("0" * 40 + "1.5", "usd", 1_500_000_000),
    ],
)
def test_a_value_is_read_exactly(text: str, unit: str, value: int) -> None:
    assert parse_value(text, unit) == value


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", "usd"), ("-1", "usd"), ("-1", "tokens"), ("+1", "tokens"), ("1e3", "usd"), ("1e308", "usd"), ("NaN", "usd"),
        ("Infinity", "usd"), ("0.0000000001", "usd"), ("0.30000000000000004", "usd"), (".5", "usd"), ("5.", "usd"),
        ("1.5", "requests"), ("1_000", "tokens"), ("1,000", "usd"), ("١٢", "tokens"), ("５", "usd"), ("12\n", "usd"),
        (" 12", "tokens"), ("0x10", "tokens"), (str(LARGEST + 1), "tokens"), ("4611686018.427387905", "usd"),
        ("9" * 5000, "usd"), ("9" * 1_000_001, "usd"), ("9" * 1_000_001, "tokens"),
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_no_value_of_its_unit_is_misspelt(text: str, unit: str) -> None:
    with pytest.raises(Misspelt):
        parse_value(text, unit)


def of(period: str, value: int = 100) -> Limit:
    return Limit(1, Subject.parse("global"), "usd", period, "hard", value)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("period", "now", "reset"),
    [
        ("day", "2026-11-23T00:00:00", "2026-11-24T00:00:00Z"),
        ("day", "2028-02-28T23:59:59", "2028-02-29T00:00:00Z"),
        ("day", "2027-12-31T12:00:00", "2028-01-01T00:00:00Z"),
        ("week", "2026-11-22T23:59:59", "2026-11-23T00:00:00Z"),
        ("week", "2026-11-23T00:00:00", "2026-11-30T00:00:00Z"),
        ("week", "2027-12-31T12:00:00", "2028-01-03T00:00:00Z"),
        ("month", "2026-11-30T23:59:59", "2026-12-01T00:00:00Z"),
        ("month", "2026-12-01T00:00:00", "2027-01-01T00:00:00Z"),
        ("month", "2028-02-01T00:00:00", "2028-03-01T00:00:00Z"),
        ("month", "2027-02-28T23:59:59", "2027-03-01T00:00:00Z"),
        ("total", "2026-11-23T00:00:00", None),
        ("minute", "2026-11-23T00:00:00", None),
    ],
)
def test_a_calendar_period_ends_at_midnight_in_utc(period: str, now: str, reset: str | None) -> None:
    assert of(period).reset(at(now)) == reset


@settings(deadline=None)
@given(st.sampled_from(["day", "week", "month"]), st.integers(0, 4 * 10**9), st.integers(0, SECOND - 1))
def test_a_calendar_period_holds_each_of_its_instants_and_the_next_begins_where_it_ends(
    period: str, second: int, rest: int
) -> None:
    now = second * SECOND + rest
    began, ends = of(period).bucket(now), of(period).resets(now)
    assert ends is not None
    assert began <= second < ends
    assert of(period).bucket(ends * SECOND - 1) == of(period).since(now) == of(period).until(now) == began
    assert of(period).bucket(ends * SECOND) == ends


@settings(deadline=None)
@given(st.sampled_from([*SLIDING]), st.integers(0, 4 * 10**18), st.integers(0, 4 * 10**12))
def test_a_window_forgets_nothing_early_and_nothing_late(period: str, then: int, later: int) -> None:
    sliding, now, width = of(period), then + later, SLIDING[period] * SECOND
    if later <= width:
        assert sliding.since(now) <= sliding.bucket(then) <= sliding.until(now)
    if later >= width + width // 60:
        assert sliding.bucket(then) < sliding.since(now)
    forgotten = sliding.forgotten(sliding.bucket(then)) * SECOND
    assert sliding.since(forgotten) > sliding.bucket(then)
    assert sliding.since(forgotten - SECOND - 1) <= sliding.bucket(then), "rounded up by less than a second"


@pytest.mark.parametrize("period", [*SLIDING])
@settings(max_examples=40, deadline=None)
@given(waits=st.lists(st.sampled_from([0, 1, 7, 59, 60, 61, 200, 600, 995, 1000, 1016, 1017, 2000]), max_size=25))
def test_no_window_takes_more_than_its_limit_and_nobody_is_refused_who_would_fit(period: str, waits: list[int]) -> None:
    most, width = 3, SLIDING[period] * SECOND
    now, admitted = at("2026-11-23T12:00:00") + 123, list[int]()
    with TemporaryDirectory() as directory:
        database = ledger_in(Path(directory))
        limit(database, "tenant:t", f"usd/{period}", "0.00000015")  # three calls
        for wait in waits:
            now += wait * width // 1000  # in thousandths of the period
            fits = sum(then * 60 // width >= now * 60 // width - 60 for then in admitted) < most
            call = f"{len(admitted)}"
            try:
                done(database, lambda tx, call=call, now=now: entries.hold(tx, claim(call), now))
                admitted.append(now)
                assert fits
            except Refused:
                assert not fits
            assert sum(now - width <= then for then in admitted) <= most
        database.close()
