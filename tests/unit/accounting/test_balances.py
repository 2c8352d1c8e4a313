"""A balance that begins looks for what counts against it already among its own calls, and at nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.accounting import entries, reports
from gateway.stores.ledger import Transaction
from tests.fakes.ledgers import SECOND, claim, done, ledger_in, limit, spend

NOW = 1_795_435_200 * SECOND  # 2026-11-23T12:00:00Z
TOMORROW = NOW + 86_400 * SECOND
SUBJECTS = ["key:k", "tenant:t", "user:u@t", "user:*@t", "key:k+model:m", "tenant:t+model:m", "user:*@t+model:m"]


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limits are set the day before calls are made, so that their balances begin with these."""
    monkeypatch.setattr(reports, "time", SimpleNamespace(time_ns=lambda: NOW))
    yield


def steps(directory: Path, subject: str, others: int) -> int:
    """SQLite's steps for the first hold of a day, after others of so many keys, users and tenants."""
    directory.mkdir()
    database = ledger_in(directory)
    limit(database, subject, "usd/day", "1")
    tenant = "t" if subject.startswith("user") else "t{}"  # users have others of their own tenant beside them
    for number in range(others):
        facts = {"tenant": tenant.format(number), "key_id": f"k{number}", "user_id": f"u{number}"}
        spend(database, f"spent{number}", TOMORROW, **(facts | {"names": "other"} if tenant == "t" else facts))
    took = 0

    def step() -> None:
        nonlocal took
        took += 1

    def first(tx: Transaction) -> None:
        assert database._connection is not None
        database._connection.set_progress_handler(step, 1)
        try:
            entries.hold(tx, claim("first"), TOMORROW)
        finally:
            database._connection.set_progress_handler(None, 1)

    done(database, first)
    database.close()
    return took


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_first_call_of_a_day_takes_no_longer_for_others_that_were_before_it(tmp_path: Path, subject: str) -> None:
    assert steps(tmp_path / "many", subject, 200) < 1.2 * steps(tmp_path / "few", subject, 10)
