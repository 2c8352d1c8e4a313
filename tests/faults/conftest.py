"""A gateway in front of a provider that no fault touches, an operator's hands on both, and a report of the figures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.reliability import Figures, asked
from tests.faults.rig import DATABASE, LONG, Provider, Rig, tell
from tests.service.conftest import Service, start

__all__ = ["make_rig", "start"]

collect_ignore = [] if LONG else ["test_disks.py"]  # it needs the right to mount
Tell = Callable[..., None]
_FIGURES = Figures()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows(*rows): the promises and faults of the report that a test is about")


def _id(item: pytest.Item) -> str:
    return item.nodeid if DATABASE == "sqlite" else f"{item.nodeid} with {DATABASE}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "setup":
        _FIGURES.begin(_id(item), asked(item.iter_markers("shows")))
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


@pytest.fixture
def make_rig(
    tmp_path: Path, start: Callable[..., Service], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Rig]]:
    """Starts rigs: a provider with these options, and the gateway in front of it."""
    providers: list[Provider] = []

    def make(worker: str = "gevent", provider: tuple[str, ...] = (), **variables: str) -> Rig:
        directory = tmp_path / f"rig-{len(providers)}"
        directory.mkdir()
        providers.append(Provider(directory / "record", *provider))
        url = request.getfixturevalue("postgres") if DATABASE == "postgresql" else None
        return Rig(directory, providers[-1], start, worker, variables, url)

    yield make
    for provider in providers:
        provider.stop()
