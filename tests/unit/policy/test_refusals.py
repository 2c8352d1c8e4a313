"""A refusal says which limit, how much, and whether to try again: exactly, in a sentence and in numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest

from gateway.errors import BudgetHeld, GatewayError, InsufficientQuota
from gateway.policy import refusals
from gateway.policy.limits import Limit
from gateway.policy.refusals import Shortage, refusal
from gateway.policy.subjects import Subject

NOW = 1_795_435_200  # 2026-11-23T12:00:00Z
MIDNIGHT = NOW + 12 * 3600


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals.time, "time", lambda: NOW + 0.25)


def refused(
    subject: str = "tenant:search", unit: str = "usd", period: str = "day", value: int = 10**10, instance: str = "",
    spent: int = 0, held: int = 0, amount: int = 0, resets: int | None = MIDNIGHT,
) -> Shortage:  # fmt: skip
    limit = Limit(1, Subject.parse(subject), unit, period, "hard", value)
    return Shortage(limit, instance, spent, held, amount, resets)


def told(error: GatewayError) -> dict[str, Any]:
    """The error as its reader parses it, its decimals kept."""
    described: dict[str, Any] = json.loads(orjson.dumps(error.describe()), parse_float=Decimal)
    return described


def test_a_spent_limit_says_when_it_resets() -> None:
    error = refusal(refused(spent=9_990_000_001, amount=20_000_000), None)
    assert isinstance(error, InsufficientQuota)
    assert error.message == (
        "The limit of 10 USD a day for tenant:search has no room for this call, which may take up to 0.02 USD: "
        "9.990000001 USD used, 0 USD held by calls in flight. One of up to 0.009999999 USD fits now: shorten the prompt "
        "or, by max_tokens, the answer. There is more room at 2026-11-24T00:00:00Z."
    )
    assert (error.status, error.code, error.retry_after) == (429, "insufficient_quota", 12 * 3600)
    assert error.client_may_retry is False


def test_a_limit_that_only_calls_in_flight_stand_before_is_held_and_worth_another_try() -> None:
    error = refusal(refused(spent=10**9, held=9 * 10**9, amount=1), None)
    assert isinstance(error, BudgetHeld)
    assert error.message.endswith("9 USD held by calls in flight. Try again when some of them have ended.")
    assert (error.status, error.code, error.retry_after) == (429, "budget_held", 1)
    assert error.client_may_retry is not False


@pytest.mark.parametrize(
    ("spent", "held", "amount", "expected"),
    [(90, 1, 10, BudgetHeld), (91, 0, 10, InsufficientQuota), (91, 50, 10, InsufficientQuota), (0, 1, 100, BudgetHeld),
     (0, 0, 101, InsufficientQuota), (0, 100, 101, InsufficientQuota)],
)  # fmt: skip
def test_it_is_held_only_where_the_call_would_fit_once_all_others_had_cost_nothing(
    spent: int, held: int, amount: int, expected: type[GatewayError]
) -> None:
    error = refusal(refused(unit="tokens", value=100, spent=spent, held=held, amount=amount), None)
    assert type(error) is expected


def test_the_numbers_are_exact_beyond_what_a_float_keeps() -> None:
    value = 4_611_686_018_427_387_904
    error = refusal(refused(value=value, spent=value - 1, held=1, amount=2), None)
    assert told(error)["limit"] == {
        "subject": "tenant:search",
        "unit": "usd",
        "period": "day",
        "limit": Decimal("4611686018.427387904"),
        "used": Decimal("4611686018.427387903"),
        "held": Decimal("0.000000001"),
        "reset": "2026-11-24T00:00:00Z",
    }


def test_tokens_and_requests_are_whole_numbers() -> None:
    error = refusal(refused(unit="tokens", period="month", value=1000, spent=900, held=7, amount=200), None)
    assert b'"limit":1000,"used":900,"held":7' in orjson.dumps(error.describe())
    assert "1000 tokens a month" in error.message
    assert "200 tokens: 900 tokens used, 7 tokens held" in error.message


def test_a_limit_in_total_does_not_reset_and_says_no_time_to_try_again() -> None:
    error = refusal(refused(period="total", spent=10**10, amount=1, resets=None), None)
    assert "10 USD in total" in error.message
    assert error.message.endswith("It does not reset.")
    assert error.retry_after is None
    assert told(error)["limit"]["reset"] is None


def test_a_call_larger_than_the_whole_limit_is_told_so() -> None:
    error = refusal(refused(value=5, amount=6), None)
    assert error.message.endswith(
        "It is more than the whole limit: shorten the prompt or, by max_tokens, the answer, have the operator set "
        "max_output_tokens, or ask for a larger limit."
    )


def test_a_sliding_limit_is_of_any_such_period() -> None:
    error = refusal(refused(period="minute", spent=10**10, amount=1, resets=NOW + 31), None)
    assert "10 USD in any minute" in error.message
    assert error.retry_after == 31


def test_a_time_that_has_come_already_is_still_a_second_away() -> None:
    assert refusal(refused(spent=10**10, amount=1, resets=NOW - 5), None).retry_after == 1


def test_the_limit_of_each_user_names_the_one() -> None:
    error = refusal(refused("user:*@search", instance="ann", spent=10**10, amount=1), None)
    assert "a day for user:ann@search has" in error.message
    assert told(error)["limit"]["subject"] == "user:ann@search"


@pytest.mark.parametrize("held", [0, 10**10])
def test_the_operators_help_is_named(held: int) -> None:
    error = refusal(refused(spent=10**10 - held, held=held, amount=1), "https://example.org/quota")
    assert error.message.endswith(" See https://example.org/quota")
