"""What is the same over every database of the ledger is shown over every one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.stores.ledger import Database
from tests.fakes.ledgers import Place, ledger_at, ledger_in


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a ledger without entries is."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres")
        return url
    ledger_in(tmp_path)
    return tmp_path


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """The ledger there."""
    found = ledger_at(place)
    yield found
    found.close()
