"""A hold and its settlement happen once each, however often they are asked for, and cost what the attempt took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from sqlite3 import IntegrityError
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.accounting import entries, reports
from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Refused, Unbounded
from gateway.errors import InvalidField
from gateway.model import LARGEST, Usage
from gateway.stores.ledger import Database, Operation, Transaction
from tests.fakes.ledgers import PRICE, SECOND, Place, claim, done, everything, ledger_in, limit, rows, spend

NOW = 1_795_435_200 * SECOND  # 2026-11-23T12:00:00Z
USED = Usage(4, 2)


@pytest.fixture(autouse=True, scope="module")
def today() -> Iterator[None]:
    """Limits are set on the day on which calls are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "time", SimpleNamespace(time_ns=lambda: NOW))
        yield


def hold(database: Database, *args: Any, **facts: Any) -> Bound:
    bound: Bound = done(database, lambda tx: entries.hold(tx, claim(*args, **facts), NOW))
    return bound


def settle(database: Database, call_id: str, usage: Usage = USED, attempt: int = 1) -> Any:
    cost = PRICE.cost(usage)
    return done(database, lambda tx: entries.settle(tx, call_id, attempt, NOW, usage, cost, {"status": 200}))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.sampled_from("abcde"), st.sampled_from(["dead", "live"])),
        st.tuples(st.just("settle"), st.sampled_from("abcde"), st.integers(0, 10)),
        st.tuples(st.just("expire"), st.sampled_from(["dead", "live"]), st.none()),
    ),
    max_size=12,
)


def is_of_the_dead(step: Any, earlier: list[Any]) -> bool:
    """Whether somebody asks for a hold who was no more before."""
    return step[0] == "hold" and ("expire", step[2], None) in earlier


def play(database: Database, written: list[Any]) -> list[Any]:
    """Do what is written; what was done, without what failed."""
    took = []
    for step in written:
        kind, name, more = step
        with suppress(Refused, LookupError, IntegrityError):
            if kind == "hold":
                hold(database, name, 1, more)
            elif kind == "settle":
                settle(database, name, Usage(more, 10 - more))
            else:
                done(database, lambda tx, owner=name: entries.expire(tx, owner, NOW))
            took.append(step)
    return took


@settings(max_examples=60, deadline=None)
@given(steps, st.integers(0, 12))
def test_replaying_any_prefix_of_what_was_done_changes_nothing(written: list[Any], length: int) -> None:
    with TemporaryDirectory() as directory:
        database = ledger_in(Path(directory))
        limit(database, "tenant:t", "usd/total", "0.00000015")
        took = play(database, [step for place, step in enumerate(written) if not is_of_the_dead(step, written[:place])])
        before = everything(Path(directory))
        play(database, took[:length])
        assert everything(Path(directory)) == before
        database.close()


def test_a_call_that_is_settled_is_not_held_again(database: Database, place: Place) -> None:
    hold(database, "call")
    settle(database, "call")
    before = everything(place)
    with pytest.raises(LookupError, match="settled"):
        hold(database, "call")
    assert everything(place) == before


def test_a_call_takes_few_statements(database: Database) -> None:
    asked: list[str] = []

    def told(operation: Operation) -> Operation:
        def tell(tx: Transaction) -> Any:
            run = tx.run
            tx.run = lambda name, /, **parameters: asked.append(name) or run(name, **parameters)  # type: ignore[method-assign]
            return operation(tx)

        return tell

    limit(database, "tenant:t", "usd/day", "1")
    limit(database, "key:k", "tokens/month", "1000")
    spend(database, "first", NOW)
    done(database, told(lambda tx: entries.hold(tx, claim("next"), NOW)))
    assert sorted(asked) == sorted(["version", *["balances", "hold_more"] * 2, "settled", "add_hold"])
    asked.clear()
    done(database, told(lambda tx: entries.settle(tx, "next", 1, NOW, USED, 14, {})))
    assert sorted(asked) == sorted(["drop_hold", "version", *["move"] * 2, "add_usage", "add_total", "add_day"])


def test_what_was_never_held_cannot_be_settled(database: Database) -> None:
    with pytest.raises(LookupError):
        settle(database, "call")


def test_a_second_settlement_does_not_overrule_an_expiry(database: Database, place: Place) -> None:
    hold(database, "call", 1, "dead")
    assert done(database, lambda tx: entries.expire(tx, "dead", NOW)) == 1
    assert settle(database, "call") == []
    found = rows(place, "SELECT usage_source, prompt_tokens, completion_tokens, cost_nano, error_code FROM usage")
    assert found == [("bound", 10, 10, 50, "cut_off")]


def test_a_refused_call_holds_nothing_of_the_limits_that_had_room(database: Database, place: Place) -> None:
    limit(database, "tenant:t", "usd/total", "1")
    limit(database, "key:k", "usd/total", "0.000000049")
    with pytest.raises(Refused):
        hold(database, "call")
    assert rows(place, "SELECT sum(held) FROM balances") == [(0,)]
    assert rows(place, "SELECT * FROM holds") == []


def test_a_second_attempt_is_no_second_request_but_is_paid_for(database: Database, place: Place) -> None:
    limit(database, "tenant:t", "requests/total", "1")
    for attempt in (1, 2):
        hold(database, "call", attempt)
        settle(database, "call", USED, attempt)
    assert rows(place, "SELECT requests, attempts, cost_nano FROM totals") == [(1, 2, 28)]
    with pytest.raises(Refused):
        hold(database, "other")


def test_a_limit_of_nothing_lets_only_free_calls_through(database: Database) -> None:
    limit(database, "tenant:t", "usd/day", "0")
    with pytest.raises(Refused):
        hold(database, "call")
    nothing = Bound(0, 0, PRICE)
    free = claim("free")._replace(asked=nothing, capped=nothing)
    assert done(database, lambda tx: entries.hold(tx, free, NOW)) == nothing


@pytest.mark.parametrize(("mode", "held"), [("hard", 5), ("firm", 10), ("soft", 10)])
def test_a_cap_is_held_only_where_a_hard_limit_bears(mode: str, held: int, database: Database) -> None:
    limit(database, "tenant:t", "tokens/day", "1000", mode)
    asked = claim()._replace(capped=Bound(10, 5, PRICE, cap=5))
    assert done(database, lambda tx: entries.hold(tx, asked, NOW)).completion_tokens == held


@pytest.mark.parametrize("mode", ["firm", "soft"])
def test_what_nobody_can_bound_is_refused_by_a_hard_limit_alone(mode: str, database: Database) -> None:
    flawed = Bound(10, 10, None, flaw=InvalidField("who knows"))
    asked = claim()._replace(asked=flawed, capped=flawed)
    limit(database, "tenant:t", "tokens/day", "1000", mode)
    done(database, lambda tx: entries.hold(tx, asked, NOW))
    limit(database, "tenant:t", "tokens/day", "1000", "hard")
    with pytest.raises(Unbounded, match="who knows"):
        done(database, lambda tx: entries.hold(tx, asked._replace(call_id="other"), NOW))


def test_a_firm_limit_holds_what_nearly_all_such_calls_took(database: Database, place: Place) -> None:
    limit(database, "tenant:t", "tokens/day", "1000", "firm")
    for number, answer in enumerate([1, 2, 1, 2, 1, 2, 3]):
        spend(database, f"call{number}", NOW, Usage(1, answer))
    hold(database, "too-few-are-known")
    assert rows(place, "SELECT held FROM balances") == [(20,)]
    settle(database, "too-few-are-known", Usage(1, 1))
    hold(database, "learnt")
    assert rows(place, "SELECT held FROM balances") == [(4,)]
    hold(database, "of-another-key", key_id="other")
    assert rows(place, "SELECT held FROM balances") == [(24,)]


def test_an_overrun_is_told_once_by_the_call_that_made_it(database: Database) -> None:
    limit(database, "user:*@t", "usd/day", "0.00000006", "soft")
    for name in ("first", "second", "third"):
        hold(database, name)
    found = [settle(database, name, Usage(10, 10)) for name in ("first", "second", "third")]
    assert [[(each.instance, each.spent) for each in overruns] for overruns in found] == [[], [("u", 100)], []]


def test_sums_that_would_not_fit_stay_at_the_largest_and_nobody_fails_for_it(database: Database, place: Place) -> None:
    limit(database, "global", "usd/day", "1", "soft")
    for call in ("1", "2", "3"):
        hold(database, call)
        done(database, lambda tx, call=call: entries.settle(tx, call, 1, NOW, USED, LARGEST - 1, {"status": 504}))
    assert rows(place, "SELECT spent, held FROM balances") == [(LARGEST, 0)]
    for table in ("days", "totals"):
        assert rows(place, f"SELECT cost_nano, requests FROM {table}") == [(LARGEST, 3)]
    with suppress(Refused):
        hold(database, "4")
    limit(database, "global", "usd/week", "1", "soft")
    assert rows(place, "SELECT max(spent) FROM balances") == [(LARGEST,)]
