"""The report: it says what failed, what could not run, and what nobody has shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.reliability import KEPT, ROWS, WRITTEN, Figures, asked, read, rendered

FILE = "tests/faults/test_any.py"
GOOD, BAD = f"{FILE}::test_that_is_good[gevent]", f"{FILE}::test_that_is_bad"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with two tests."""
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / FILE).write_text("def test_that_is_good(): ...\ndef test_that_is_bad(): ...\n")
    return tmp_path


def ran(
    test: str, *rows: str, outcome: str = "passed", why: str = "", figure: str = "", n: int | None = None
) -> Figures:
    figures = Figures()
    figures.begin(test, rows)
    if figure:
        figures.tell(test, rows[0], figure, n)
    figures.end(test, outcome, why)
    return figures


def line(root: Path, row: str) -> str:
    return next(line for line in (root / WRITTEN).read_text().splitlines() if line.startswith(f"| {row} |"))


def test_a_row_of_which_one_test_fails_is_listed_as_failing_with_its_name(root: Path) -> None:
    ran(GOOD, "F1", "F2").write(root)
    ran(BAD, "F1", outcome="failed").write(root)
    assert "| **fail**: that is bad |" in line(root, "F1")
    assert "| pass |" in line(root, "F2")
    ran(BAD, "F1").write(root)
    assert "| pass |" in line(root, "F1")


def test_a_run_replaces_what_it_shows_and_keeps_the_rest(root: Path) -> None:
    ran(GOOD, "F1", figure="0 of 40 lost", n=40).write(root)
    ran(BAD, "F1", figure="1.5 s", n=3).write(root)
    ran(GOOD, "F1", figure="0 of 100 lost", n=100).write(root)
    told = [told for result in read(root / KEPT)["F1"].values() for told in result.told]
    assert told == [["1.5 s", 3], ["0 of 100 lost", 100]]


def test_beside_a_zero_stands_what_so_many_trials_can_show(root: Path) -> None:
    ran(GOOD, "F1", figure="0 of 100 lost", n=100).write(root)
    assert "| 0 of 100 lost (under 3 % at 95 %) |" in line(root, "F1")


def test_trials_of_one_kind_of_which_none_failed_are_one_figure(root: Path) -> None:
    ran(GOOD, "F1", figure="gevent: 0 of 60 lost", n=60).write(root)
    ran(BAD, "F1", figure="gevent: 0 of 40 lost", n=40).write(root)
    assert "| gevent: 0 of 100 lost (under 3 % at 95 %) |" in line(root, "F1")


def test_the_report_names_the_files_that_need_no_running_service(root: Path) -> None:
    figures = Figures()
    figures.begin(GOOD, ["F1"], in_process=True)
    figures.write(root)
    assert "without Gunicorn: `test_any.py`. All others" in (root / WRITTEN).read_text()
    ran(GOOD, "F1").write(root)
    assert "Gunicorn" not in (root / WRITTEN).read_text()


def test_what_did_not_run_is_no_pass(root: Path) -> None:
    ran(GOOD, "F1", outcome="skipped", why="no right to mount").write(root)
    assert "| could not run here: no right to mount |" in line(root, "F1")
    assert "| not shown |" in line(root, "F2")


def test_a_test_that_is_gone_shows_nothing_any_more(root: Path) -> None:
    ran(BAD, "F1", outcome="failed").write(root)
    (root / FILE).write_text("def test_that_is_good(): ...\n")
    ran(GOOD, "F2").write(root)
    assert "| not shown |" in line(root, "F1")


def test_a_number_that_ends_in_zero_is_no_zero(root: Path) -> None:
    ran(GOOD, "F1", figure="10 of 20 calls were answered", n=20).write(root)
    assert "10 of 20 calls were answered (N = 20)" in line(root, "F1")


def test_every_promise_and_fault_has_a_row_and_nothing_else_can_be_shown() -> None:
    promises, faults = [f"P{number}" for number in range(1, 19)], [f"F{number}" for number in range(1, 20)]
    assert list(ROWS) == [*promises, "Affinity", *faults]
    assert rendered({}).count("| not shown |") == len(ROWS)
    with pytest.raises(KeyError):
        asked([pytest.mark.shows("F20").mark])
