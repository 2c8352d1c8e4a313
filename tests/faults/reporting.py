"""Has tests say which rows of the report they show, and with what figures; the long forms write it at their end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator

import pytest

from tests.faults.reliability import Figures, asked

DATABASE = os.environ.get("FAULTS_DATABASE", "sqlite")
LONG = os.environ.get("FAULTS") == "long"
Tell = Callable[..., None]
_FIGURES = Figures()


def tell(text: str) -> None:
    """Show how far a long run is."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows(*rows): the promises and faults of the report that a test is about")


def _id(item: pytest.Item) -> str:
    return item.nodeid if DATABASE == "sqlite" else f"{item.nodeid} with {DATABASE}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "setup":
        in_process = "make_app" in getattr(item, "fixturenames", ())
        _FIGURES.begin(_id(item), asked(item.iter_markers("shows")), in_process)
    if report.outcome != "passed":
        why = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        _FIGURES.end(_id(item), report.outcome, why)
    return report


def pytest_sessionfinish() -> None:
    if LONG:
        _FIGURES.write()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Tell:
    """Tells a figure for the report's rows that the test shows, or for one of them, and how many trials it rests on."""

    def figure(text: str, n: int | None = None, row: str = "") -> None:
        tell(text)
        for one in [row] if row else asked(request.node.iter_markers("shows")):
            _FIGURES.tell(_id(request.node), one, text, n)

    return figure
