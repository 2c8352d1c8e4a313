"""The ledger does what a model of sixty lines does, under whatever interleaving of calls, limits and clocks."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from gateway.accounting import balances, entries, reports
from gateway.accounting.bounds import Bound
from gateway.accounting.entries import Refused, Unbounded
from gateway.accounting.prices import FREE
from gateway.errors import InvalidField
from gateway.model import Usage, usd
from gateway.policy.limits import CALENDAR, MODES, SLIDING
from gateway.policy.subjects import Subject
from gateway.stores.ledger import Operation, Transaction
from gateway.stores.ledger.postgres_connection import connect
from gateway.stores.ledger.tables import metadata
from tests.fakes.ledgers import PRICE, SECOND, Place, claim, done, everything, ledger_at, ledger_in, rows
from tests.unit.accounting.model import Amounts, Call, Key, Model, whose

BEGINNINGS = ["2027-12-31T23:59:59", "2028-02-28T23:59:00", "2028-02-29T12:00:00", "2026-11-22T23:59:59.5"]
MOVES = [0.01, 0.5, 1, 1.5, 59, 61, 3540, 3661, 43_200, 86_400, 7 * 86_400, 31 * 86_400, -0.5, -2, -61, -86_400]
SUBJECTS = [
    "tenant:t", "key:k", "user:x@t", "user:*@t", "model:m", "global", "tenant:t+model:m", "key:k+user:*@t", "user:*@s",
    "model:n+user:x@t",
]  # fmt: skip
PRICES = {(2, 3): PRICE, (0, 0): FREE, None: None}  # by nano-USD of a token of the prompt and of the answer
RATES = [("usd", period) for period in (*SLIDING, *CALENDAR)] * 2
RATES += [(unit, period) for unit in ("tokens", "requests") for period in CALENDAR]

few = st.integers(0, 12)
sizes = st.tuples(few, few, few)
payers = st.sampled_from(
    [("t", "k", "x", "m"), ("t", "k", "y", "m n"), ("t", "k", "", "n"), ("t", "l", "x", "m n"), ("s", "l", "x", "n")]
)
limits = st.tuples(
    st.sampled_from(SUBJECTS), st.sampled_from(RATES), st.integers(0, 150), st.sampled_from([*MODES, "hard"])
)


def amounts(attempt: int, prompt: int, answer: int, price: tuple[int, int] | None) -> Amounts:
    cost = prompt * price[0] + answer * price[1] if price else 0
    return {"requests": int(attempt < 2), "tokens": prompt + answer, "usd": cost}


class Ledgers(RuleBasedStateMachine):
    """The real ledger and the model, side by side."""

    flying = Bundle("flying")
    settled = Bundle("settled")

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.place = self.empty()
        self.database = ledger_at(self.place)
        self.other = ledger_at(self.place)  # what another worker would find
        self.model = Model()
        self.bounds: dict[tuple[str, int], Bound] = {}  # what is held
        self.count = 0
        self.strict: set[Key] = set()  # hard limits that were there from the start, and may never be passed

    def empty(self) -> Place:
        """Where an empty ledger is."""
        path = Path(self.directory.name)
        ledger_in(path)
        return path

    def teardown(self) -> None:
        for database in (self.database, self.other):
            database.close()
        self.directory.cleanup()

    def do(self, operation: Operation) -> Any:
        return done(self.database, operation)

    @initialize(beginning=st.sampled_from(BEGINNINGS), first=st.lists(limits, min_size=1, max_size=6))
    def begin(self, beginning: str, first: list[Any]) -> None:
        self.now = int(datetime.fromisoformat(beginning).replace(tzinfo=UTC).timestamp() * 1000) * 1_000_000
        for limit in first:
            self.set_limit(limit)
        self.strict = {key for key, (mode, _) in self.model.limits.items() if mode == "hard"}

    @rule(limit=limits)
    def set_limit(self, limit: tuple[str, tuple[str, str], int, str]) -> None:
        subject, (unit, period), value, mode = limit
        value = value // 10 if unit == "requests" else value
        text = usd(value) if unit == "usd" else str(value)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.accounting.reports.time.time_ns", lambda: self.now)
            self.do(lambda tx: reports.set_limit(tx, subject, f"{unit}/{period}", text, mode))
        key = (Subject.parse(subject).text, unit, period)
        self.model.limits[key] = mode, value
        self.strict.discard(key)

    @rule(data=st.data())
    def remove_limit(self, data: st.DataObject) -> None:
        if self.model.limits:
            key = data.draw(st.sampled_from(sorted(self.model.limits)))
            assert self.do(lambda tx: reports.remove_limit(tx, key[0], f"{key[1]}/{key[2]}"))
            self.model.remove(key)
            self.strict.discard(key)

    @rule(target=flying, payer=payers, attempt=st.sampled_from([1, 1, 1, 0, 2]), owner=st.sampled_from("ab"), size=sizes,
          price=st.sampled_from([*PRICES, (2, 3)]), bounded=st.sampled_from([True, True, True, False]))  # fmt: skip
    def hold(self, payer: Any, attempt: int, owner: str, size: Any, price: Any, bounded: bool) -> Any:
        self.count += 1
        name, (prompt, answer, more) = (f"call{self.count}", attempt), size if attempt else (0, 0, 0)
        tenant, key, user, names = payer
        call = Call(self.now, tenant, key, user, names.split(" "), owner, price)
        asked, capped = amounts(attempt, prompt, answer + more, price), amounts(attempt, prompt, answer, price)
        expected = self.model.hold(name, call, asked, capped, bounded)
        flaw = None if bounded else InvalidField("unbounded")
        bounds = [Bound(prompt, most, PRICES[price], flaw=flaw) for most in (answer + more, answer)]
        made = claim(*name, owner, tenant=tenant, key_id=key, user_id=user, names=names)
        found = "admitted"
        try:
            self.bounds[name] = self.do(
                lambda tx: entries.hold(tx, made._replace(asked=bounds[0], capped=bounds[1]), self.now)
            )
        except Unbounded:
            found = "unbounded"
        except Refused as refused:
            found = "budget_held" if refused.shortage.only_held else "insufficient_quota"
        assert found == expected
        return name if found == "admitted" else multiple()

    @rule(target=settled, name=consumes(flying), part=st.sampled_from([0, 0.3, 1, 1, 2]), known=st.booleans())
    def settle(self, name: tuple[str, int], part: float, known: bool) -> Any:
        call, bound = self.model.calls[name], self.bounds[name]
        if call.took:
            return name
        usage = Usage(int(bound.prompt_tokens * part), int(bound.completion_tokens * part))
        took = amounts(name[1], usage.prompt_tokens, usage.completion_tokens, call.price)
        assert part > 1 or took["usd"] <= (bound.nano or 0), "posted more than was reserved"
        if part > 1:
            self.strict -= {key for key in self.strict if whose(key[0], call) is not None}
        usage = replace(usage, source="counted" if known else "bound") if name[1] else Usage(7, 7, source="cache")
        cost = took["usd"] if call.price else None
        self.do(lambda tx: entries.settle(tx, *name, self.now, usage, cost, {"status": 200}))
        self.model.settle(name, took, bool(name[1] and known and usage.prompt_tokens))
        return name

    @rule(target=flying, payer=payers, owner=st.sampled_from("ab"), many=st.lists(sizes, min_size=2, max_size=6))
    def hold_many(self, payer: Any, owner: str, many: list[Any]) -> Any:
        names = [self.hold(payer, 1, owner, size, (2, 3), True) for size in many]
        return multiple(*(name for name in names if isinstance(name, tuple)))

    @rule(
        target=flying, payer=payers, size=sizes, parts=st.lists(st.sampled_from([0.1, 0.3, 1]), min_size=8, max_size=9)
    )
    def buy_often(self, payer: Any, size: Any, parts: list[float]) -> Any:
        for part in parts:
            name = self.hold(payer, 1, "c", size, (2, 3), True)
            if isinstance(name, tuple):
                self.settle(name, part, known=True)
        return self.hold(payer, 1, "c", size, (2, 3), True)  # of which a firm limit has learnt

    @rule(name=settled, part=few)
    def settle_again(self, name: tuple[str, int], part: int) -> None:
        before = everything(self.place)
        assert self.do(lambda tx: entries.settle(tx, *name, self.now, Usage(part, part), part, {})) == []
        assert everything(self.place) == before

    @rule(owner=st.sampled_from("ab"))
    def expire(self, owner: str) -> None:
        dead = [name for name, call in self.model.calls.items() if call.owner == owner and not call.took]
        assert self.do(lambda tx: entries.expire(tx, owner, self.now)) == len(dead)
        for name in dead:
            bound = self.bounds[name]
            took = amounts(name[1], bound.prompt_tokens, bound.completion_tokens, self.model.calls[name].price)
            self.model.settle(name, took, known=False)

    @rule(seconds=st.sampled_from(MOVES))
    def move_the_clock(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)

    @invariant()
    def every_limit_stands_as_in_the_model(self) -> None:
        instants = {self.now, *(call.at for call in self.model.calls.values() if not call.took)}

        def look(tx: Transaction) -> None:
            found, expected = {}, {}
            for limit in balances.limits(tx):
                key = (limit.subject.text, limit.unit, limit.period)
                for instance in ("", "x", "y") if limit.subject.each_of else ("",):
                    for now in instants:
                        found[key, instance, now] = balances.balance(tx, limit, instance, now)[:2]
                        expected[key, instance, now] = self.model.standing(key, instance, now)
            assert found == expected
            raise UndoError

        with suppress(UndoError):
            done(self.other, look)

    @invariant()
    def no_hard_limit_is_ever_passed(self) -> None:
        columns = "subject, unit, period, instance, start, spent + held, value"
        taken = rows(self.place, f"SELECT {columns} FROM balances JOIN limits ON limits.id = balances.limit_id")
        for *balance, start, _, value in taken:
            width = 60 if balance[2] in SLIDING else 0
            window = [row[5] for row in taken if list(row[:4]) == balance and start <= row[4] <= start + width]
            assert sum(window) <= value or tuple(balance[:3]) not in self.strict

    @invariant()
    def the_rows_and_all_sums_of_them_agree_in_whole_numbers(self) -> None:
        took = [call.took for call in self.model.calls.values() if call.took]
        expected = (len(took), *(sum(each[unit] for each in took) for unit in ("requests", "tokens", "usd")))
        tokens = "(prompt_tokens + completion_tokens)"
        for table in (
            f"SELECT 1 AS attempts, CASE WHEN attempt < 2 THEN 1 ELSE 0 END AS requests, CASE WHEN attempt > 0 THEN {tokens} ELSE 0 END AS tokens, cost_nano FROM usage",
            f"SELECT attempts, requests, {tokens} AS tokens, cost_nano FROM days",
            f"SELECT attempts, requests, {tokens} AS tokens, cost_nano FROM totals",
        ):
            sums = "sum(attempts), sum(requests), sum(tokens), sum(cost_nano)"
            (found,) = rows(self.place, f"SELECT {sums} FROM ({table})")
            assert tuple(amount or 0 for amount in found) == expected
        for table in everything(self.place).values():
            assert not any(isinstance(value, float) for row in table for value in row)


class UndoError(Exception):
    """A look at the ledger leaves no trace."""


class PostgresLedgers(Ledgers):
    """The same over PostgreSQL, in one database for all examples."""

    url: str

    def empty(self) -> Place:
        with closing(connect(self.url)) as connection:
            connection.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY".encode())
        return self.url


@pytest.fixture
def one_database(postgres: str) -> None:
    PostgresLedgers.url = postgres


def settled_with(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )


TestLedgers = Ledgers.TestCase
TestLedgers.settings = settled_with(40)
TestPostgresLedgers = pytest.mark.usefixtures("one_database")(PostgresLedgers.TestCase)
TestPostgresLedgers.settings = settled_with(5)
