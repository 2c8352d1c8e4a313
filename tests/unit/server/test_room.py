"""The ledger's server has room for all workers, or the service does not start; for a reload, or it says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from gateway.config import Settings
from gateway.server import master
from gateway.stores import StoreError
from tests.fakes.postgres_server import PostgresServer


@pytest.fixture(autouse=True)
def no_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(master, "_doubts", [])


@pytest.fixture
def limited(postgres: str, postgres_server: PostgresServer) -> Iterator[str]:
    """A database that lets ten connections in."""
    name = postgres.rpartition("/")[2]
    postgres_server.run(f"ALTER DATABASE {name} CONNECTION LIMIT 10")
    return postgres


@pytest.mark.parametrize(("workers", "doubts"), [("2", 0), ("3", 1), ("5", 1)])
def test_workers_that_have_room_start_and_a_reload_that_has_none_is_warned_of(
    workers: str, doubts: int, limited: str, make_settings: Callable[..., Settings]
) -> None:
    master._prepare_ledger(make_settings(DATABASE_URL=limited, WEB_CONCURRENCY=workers))
    assert len(master._doubts) == doubts


def test_workers_that_have_no_room_do_not_start(limited: str, make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(StoreError, match=r"6 workers take 12 connections, .* 24; it has 10 for us: lower WEB_CONC"):
        master._prepare_ledger(make_settings(DATABASE_URL=limited, WEB_CONCURRENCY="6"))


def test_a_server_that_all_have_to_share_has_less(postgres: str, make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(StoreError, match="it has 57 for us"):  # of 60, 3 of them reserved
        master._prepare_ledger(make_settings(DATABASE_URL=postgres, WEB_CONCURRENCY="29"))


def test_sqlite_has_room_for_any_number(make_settings: Callable[..., Settings]) -> None:
    master._prepare_ledger(make_settings(WEB_CONCURRENCY="1000"))
    assert master._doubts == []
